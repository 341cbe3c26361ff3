#include "providers/hopper/kernels/rebase_rows.hpp"

#include "providers/hopper/kernels/lowered_values.cuh"
#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/weight_decode.hpp"
#include "providers/hopper/kernels/widen_row.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {
namespace {

constexpr int warps = 4;         ///< of a block: a row each
constexpr int piece_bytes = 16;  ///< that a lane writes at once: its part of a block of weights (rebased_place)

/// rebased_magnitudes of every span.
struct Tables {
    std::uint64_t of_span[Rebased::activation_span + 1];
};
constexpr Tables make_tables() {
    Tables made{};
    for (int span = 0; span <= Rebased::activation_span; ++span) {
        made.of_span[span] = rebased_magnitudes(span);
    }
    return made;
}
__device__ constexpr Tables tables = make_tables();

/// A lane's values of those that are rebased together: of 128, the 16 that thread `quarter` of four has of a block of
/// weights, block `half` (rebased_place), two and two of every 16 of K.
struct Share {
    int half;
    unsigned quarter;
};

/// Activations of a type, as words of a group of 32 that share a scale.
template <DType type>
struct Group;

template <>
struct Group<DType::e2m1x2> {
    static constexpr int bytes = 16;
    static constexpr int top = Rebased::activation_top;

    uint4 words;

    __device__ __forceinline__ Group(const std::uint8_t* row, int group)
        : words(__ldg(reinterpret_cast<const uint4*>(row) + group)) {}
    [[nodiscard]] __device__ __forceinline__ bool any() const {
        return ((words.x | words.y | words.z | words.w) & 0x77777777U) != 0;
    }
    [[nodiscard]] __device__ __forceinline__ static bool takes(int least, int most) {
        return Rebased::has(least, most, Rebased::activation_span);
    }
    /// A lane's of the group's two steps of 16, `binades` below the row's top.
    __device__ __forceinline__ void rebase(const Share& share, int binades, std::uint32_t (&out)[2]) const {
        const uint2 magnitudes =
            __ldg(reinterpret_cast<const uint2*>(tables.of_span) + min(binades, Rebased::activation_span));
        const unsigned chosen = share.quarter + (share.quarter + 4) * 16;  // a byte of each eight values
        out[0] = rebased_codes(byte_perm(words.x, words.y, chosen), magnitudes.x, magnitudes.y);
        out[1] = rebased_codes(byte_perm(words.z, words.w, chosen), magnitudes.x, magnitudes.y);
    }
};

template <>
struct Group<DType::e4m3> {
    static constexpr int bytes = 32;
    static constexpr int top = Rebased::e4m3_top;

    uint4 steps[2];

    __device__ __forceinline__ Group(const std::uint8_t* row, int group)
        : steps{__ldg(reinterpret_cast<const uint4*>(row) + group * 2),
                __ldg(reinterpret_cast<const uint4*>(row) + group * 2 + 1)} {}
    [[nodiscard]] __device__ __forceinline__ bool any() const {
        std::uint32_t bits = 0;
#pragma unroll
        for (const uint4& words : steps) {
            bits |= words.x | words.y | words.z | words.w;
        }
        return (bits & 0x7F7F7F7FU) != 0;
    }
    [[nodiscard]] __device__ __forceinline__ static bool takes(int /*least*/, int most) {
        return Rebased::has(most, most, 0);
    }
    __device__ __forceinline__ void rebase(const Share& share, int binades, std::uint32_t (&out)[2]) const {
        const std::uint32_t factors = lowering_factors(static_cast<std::uint32_t>(binades));
        const unsigned chosen = share.quarter % 2 == 0 ? 0x5140U : 0x7362U;  // two bytes of each eight values
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const std::uint32_t front = share.quarter < 2 ? steps[i].x : steps[i].y;
            const std::uint32_t back = share.quarter < 2 ? steps[i].z : steps[i].w;
            out[i] = lowered(byte_perm(front, back, chosen), factors);
        }
    }
};

/// What a row's groups that are not all zero have as scales.
struct Scales {
    int least = 255;
    int most = 0;
    bool has_nan = false;
};
template <DType type>
__device__ __forceinline__ Scales look_at(const WidenCall& call, const std::uint8_t* source, const RowScales& scales,
                                          int lane) {
    Scales found;
#pragma unroll 4
    for (int number = lane; number < call.depth / 32; number += 32) {
        const Group<type> group(source, number);
        const int code = static_cast<int>(scales.code(number));
        found.has_nan = found.has_nan || code == 255;
        if (code != 255 && group.any()) {
            found.most = max(found.most, code);
            found.least = min(found.least, code);
        }
    }
    found.has_nan = __any_sync(~0U, static_cast<int>(found.has_nan)) != 0;
    found.most = __reduce_max_sync(~0U, found.most);
    found.least = __reduce_min_sync(~0U, found.least);
    if (found.least > found.most) {  // a row of zeros
        found.most = 127;
        found.least = 127;
    }
    return found;
}

/// A warp a row: first its scales, then its values, which come from the first-level cache then.
template <DType type>
__global__ void __launch_bounds__(warps * 32)
    rebase(const __grid_constant__ WidenCall call, const __grid_constant__ RebasedRows rebased) {
    ptx::let_next_kernel_start();
    const int row = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / 32;
    if (row >= call.rows) {
        return;
    }
    const RowOwner owner = owner_of(call.m_indptr, call.experts, row);
    if (owner.expert < 0) {
        return;
    }
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int groups = call.depth / 32;
    const std::uint8_t* const source = call.a + static_cast<std::int64_t>(row) * groups * Group<type>::bytes;
    const RowScales scales(call, owner, row);
    if (__ldg(rebased.not_rebasable) != 0) {
        widen_row<type, DType::ue8m0, 32>(call, scales, row, lane);
        return;
    }
    const Scales found = look_at<type>(call, source, scales, lane);
    const bool is_taken = Group<type>::takes(found.least, found.most);
    if (lane == 0) {
        rebased.factors[row] = !is_taken       ? -1.0F
                               : found.has_nan ? __int_as_float(0x7FC00000)
                                               : __int_as_float((found.most - Group<type>::top) << 23);
        if (!is_taken) {
            *rebased.rows_differ = 1;
        }
    }
    if (!is_taken) {
        widen_row<type, DType::ue8m0, 32>(call, scales, row, lane);
        return;
    }
    const Share share{lane % 2, static_cast<unsigned>(lane) % 8 / 2};
    const int depth = static_cast<int>(rebased_depth(call.depth));
    std::uint8_t* const target = rebased.values + static_cast<std::int64_t>(row) * depth;
#pragma unroll 2
    for (int at = lane * piece_bytes; at < depth; at += 32 * piece_bytes) {
        std::uint32_t packed[2][2]{};
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int number = at / 128 * 4 + share.half * 2 + i;
            if (number < groups) {
                // A group of zeros may have any scale.
                const int binades = max(found.most - static_cast<int>(scales.code(number)), 0);
                Group<type>(source, number).rebase(share, binades, packed[i]);
            }
        }
        *reinterpret_cast<uint4*>(target + at) = make_uint4(packed[0][0], packed[0][1], packed[1][0], packed[1][1]);
    }
}

}  // namespace

cudaError_t rebase_rows(DType a, const WidenCall& call, const RebasedRows& rebased, cudaStream_t stream) {
    const auto blocks = static_cast<unsigned>((call.rows + warps - 1) / warps);
    if (a == DType::e2m1x2) {
        rebase<DType::e2m1x2><<<blocks, warps * 32, 0, stream>>>(call, rebased);
    } else {
        rebase<DType::e4m3><<<blocks, warps * 32, 0, stream>>>(call, rebased);
    }
    return cudaGetLastError();
}

}  // namespace moegemm::hopper
