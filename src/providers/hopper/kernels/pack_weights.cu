#include "providers/hopper/kernels/pack_weights.hpp"

#include "providers/hopper/kernels/weight_decode.hpp"

namespace moegemm::hopper {
namespace {

constexpr int threads = 256;
constexpr int depths_at_once = 4;

/// A block of rows of one expert: first its rows' bases, from all their scales; then block after block along K, four at
/// a time, by way of shared memory.
template <WeightFormat format>
__global__ void __launch_bounds__(threads, 1) pack_row_block(const __grid_constant__ PackCall call) {
    constexpr WeightBlock block = block_of(format);
    constexpr int rows = WeightBlock::rows;
    constexpr int tile_bytes = depths_at_once * WeightBlock::depth * block.bits / 8;  // of a row
    constexpr int groups = block.groups() * depths_at_once;                           // of a row
    constexpr int left_out = block.bits == 4 ? ScaleCode::e2m1_exponent : ScaleCode::e4m3_exponent;
    constexpr bool is_ue8m0 = format != WeightFormat::e2m1_ue4m3;
    constexpr int nan_code = is_ue8m0 ? 255 : 127;
    __shared__ std::uint8_t values[rows][tile_bytes + 4];
    __shared__ std::uint8_t codes[rows][groups];
    __shared__ int largest[rows];
    __shared__ int smallest[rows];
    __shared__ int has_nan[rows];

    const int thread = static_cast<int>(threadIdx.x);
    const int row_block = static_cast<int>(blockIdx.x);
    const auto expert = static_cast<std::int64_t>(blockIdx.y);
    const std::int64_t first_row = static_cast<std::int64_t>(row_block) * rows;
    const auto scale_code = [&](std::int64_t row, std::int64_t column) {
        const int code =
            call.w_scale[scales::w_scale_index(call.layout, expert, row, column, call.n, call.scale_columns)];
        return is_ue8m0 ? code : code & 127;
    };
    if (thread < rows) {
        largest[thread] = 0;
        smallest[thread] = nan_code;
        has_nan[thread] = 0;
    }
    __syncthreads();
    {
        const int row = thread / (threads / rows);
        int most = 0;
        int least = nan_code;
        bool nan = false;
        if (first_row + row < call.n) {
            for (std::int64_t column = thread % (threads / rows); column < call.scale_columns;
                 column += threads / rows) {
                const int code = scale_code(first_row + row, column);
                nan = nan || code == nan_code;
                most = code != nan_code && code > most ? code : most;
                least = code < least ? code : least;
            }
        }
        atomicMax(&largest[row], most);
        atomicMin(&smallest[row], least);
        if (nan) {
            has_nan[row] = 1;
        }
    }
    __syncthreads();

    for (int depth = 0; depth < call.shape.depths; depth += depths_at_once) {
        const std::int64_t first_byte = static_cast<std::int64_t>(depth) * (WeightBlock::depth * block.bits / 8);
        const auto source = [&](int row, int byte) {
            return call.w + (expert * call.n + first_row + row) * call.row_bytes + first_byte + byte;
        };
        const auto exists = [&](int row, int byte) {
            return first_row + row < call.n && first_byte + byte < call.row_bytes;
        };
        if (call.in_words) {
            for (int at = thread * 4; at < rows * tile_bytes; at += threads * 4) {
                const int row = at / tile_bytes;
                const int byte = at % tile_bytes;
                *reinterpret_cast<std::uint32_t*>(&values[row][byte]) =
                    exists(row, byte) ? *reinterpret_cast<const std::uint32_t*>(source(row, byte)) : 0;
            }
        } else {
            for (int at = thread; at < rows * tile_bytes; at += threads) {
                const int row = at / tile_bytes;
                const int byte = at % tile_bytes;
                values[row][byte] = exists(row, byte) ? *source(row, byte) : std::uint8_t{0};
            }
        }
        for (int at = thread; at < rows * groups; at += threads) {
            const int row = at / groups;
            const std::int64_t column = static_cast<std::int64_t>(depth) * block.groups() + at % groups;
            // What is not there is packed as NaN is: as a number that keeps out of the way.
            codes[row][at % groups] = static_cast<std::uint8_t>(first_row + row < call.n && column < call.scale_columns
                                                                    ? scale_code(first_row + row, column)
                                                                    : nan_code);
        }
        __syncthreads();

        for (int own = thread / 128; own < depths_at_once && depth + own < call.shape.depths; own += threads / 128) {
            std::uint8_t* const target = call.blocks + call.shape.block(expert, row_block, depth + own) * block.bytes();
            const int lane = thread % 128;
            std::uint32_t words[block.bits];
#pragma unroll
            for (int step = 0; step < WeightBlock::steps; ++step) {
                std::uint8_t found[4][2];
#pragma unroll
                for (int reg = 0; reg < 4; ++reg) {
                    const FragmentPlace place = fragment_place(lane, step, reg, 0);
                    const int k = own * WeightBlock::depth + place.k;
                    if constexpr (block.bits == 4) {
                        std::uint8_t both = values[place.row][k / 2];
                        if (!is_ue8m0 && codes[place.row][k / block.group] == 0) {
                            both &= 0x88;  // a scale of 0, which the packed code cannot express
                        }
                        found[reg][0] = both & 15;
                        found[reg][1] = both >> 4;
                    } else {
#pragma unroll
                        for (int half = 0; half < 2; ++half) {
                            found[reg][half] = values[place.row][k + half];
                            if ((found[reg][half] & 127) == 127) {
                                has_nan[place.row] = 1;
                            }
                        }
                    }
                }
                if constexpr (block.bits == 4) {
                    words[step] = e2m1_word(found);
                } else {
                    const std::uint8_t upper[2][2] = {{found[0][0], found[0][1]}, {found[2][0], found[2][1]}};
                    const std::uint8_t lower[2][2] = {{found[1][0], found[1][1]}, {found[3][0], found[3][1]}};
                    words[step * 2] = e4m3_word(upper);
                    words[step * 2 + 1] = e4m3_word(lower);
                }
            }
#pragma unroll
            for (int piece = 0; piece < block.bits / 4; ++piece) {
                *reinterpret_cast<uint4*>(target + WeightBlock::value_offset(lane, piece)) =
                    make_uint4(words[piece * 4], words[piece * 4 + 1], words[piece * 4 + 2], words[piece * 4 + 3]);
            }
            for (int at = lane; at < rows * block.groups(); at += 128) {
                const int row = at / block.groups();
                const int group = at % block.groups();
                const int code = codes[row][own * block.groups() + group];
                std::uint8_t stored = 8;  // of a group without values: any number
                if (is_ue8m0) {
                    stored = packed_ue8m0(code == nan_code ? largest[row] : code, row_base(largest[row], left_out),
                                          left_out);
                } else if (code != nan_code && code != 0) {
                    stored = packed_ue4m3(code);
                }
                target[block.scale_offset(row, group)] = stored;
            }
        }
        __syncthreads();
    }
    if (thread < rows) {
        const int power = is_ue8m0 ? row_base(largest[thread], left_out) : left_out - ScaleCode::ue4m3_raised;
        const float factor = has_nan[thread] != 0 ? __int_as_float(0x7FC00000) : __int_as_float((power + 127) << 23);
        const std::int64_t at = expert * call.shape.row_blocks * rows + first_row + thread;
        call.row_factors[at] = factor;
        if constexpr (format == WeightFormat::e2m1_ue8m0) {
            call.row_tops[at] = packed_ue8m0(largest[thread], row_base(largest[thread], left_out), left_out);
            if (!is_rebasable(smallest[thread], largest[thread])) {
                *call.not_rebasable = 1;
            }
        }
    }
}

}  // namespace

cudaError_t pack_weights(WeightFormat format, const PackCall& call, std::int64_t experts, cudaStream_t stream) {
    const dim3 grid(static_cast<unsigned>(call.shape.row_blocks), static_cast<unsigned>(experts));
    switch (format) {
        case WeightFormat::e2m1_ue8m0:
            pack_row_block<WeightFormat::e2m1_ue8m0><<<grid, threads, 0, stream>>>(call);
            break;
        case WeightFormat::e2m1_ue4m3:
            pack_row_block<WeightFormat::e2m1_ue4m3><<<grid, threads, 0, stream>>>(call);
            break;
        case WeightFormat::e4m3_ue8m0:
            pack_row_block<WeightFormat::e4m3_ue8m0><<<grid, threads, 0, stream>>>(call);
            break;
    }
    return cudaGetLastError();
}

}  // namespace moegemm::hopper
