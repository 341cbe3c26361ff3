#include "providers/hopper/kernels/rebase_rows.hpp"

#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/weight_decode.hpp"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {
namespace {

constexpr int threads = 128;
constexpr int values = 16;  ///< that a thread takes at once: half a group

/// rebased_magnitudes of every span.
struct Tables {
    std::uint64_t of_span[rebase_span + 1];
};
constexpr Tables make_tables() {
    Tables made{};
    for (int span = 0; span <= rebase_span; ++span) {
        made.of_span[span] = rebased_magnitudes(span);
    }
    return made;
}
__device__ constexpr Tables tables = make_tables();

/// A block a row: first the row's largest and smallest scale of groups that are not all zero, then its values.
__global__ void __launch_bounds__(threads)
    rebase(const __grid_constant__ WidenCall call, const __grid_constant__ RebasedRows rebased) {
    __shared__ int most_of[threads / 32];
    __shared__ int least_of[threads / 32];
    ptx::let_next_kernel_start();
    const int row = static_cast<int>(blockIdx.x);
    const RowOwner owner = owner_of(call.m_indptr, call.experts, row);
    if (owner.expert < 0) {
        return;
    }
    const std::uint8_t* const source = call.a + static_cast<std::int64_t>(row) * (call.depth / 2);
    const auto words_at = [&](int k) { return __ldg(reinterpret_cast<const uint2*>(source + k / 2)); };
    const RowScales scales(call, owner, row);
    const auto code_at = [&](int k) { return static_cast<int>(scales.code(k / 32)); };
    const int first = static_cast<int>(threadIdx.x) * values;
    int most = 0;
    int least = 255;
    bool has_nan = false;
    for (int k = first; k < call.depth; k += threads * values) {
        const uint2 words = words_at(k);
        const int code = code_at(k);
        has_nan = has_nan || code == 255;
        if (code != 255 && ((words.x | words.y) & 0x77777777U) != 0) {
            most = max(most, code);
            least = min(least, code);
        }
    }
    has_nan = __syncthreads_or(static_cast<int>(has_nan)) != 0;
    most = __reduce_max_sync(~0U, most);
    least = __reduce_min_sync(~0U, least);
    if (threadIdx.x % 32 == 0) {
        most_of[threadIdx.x / 32] = most;
        least_of[threadIdx.x / 32] = least;
    }
    __syncthreads();
#pragma unroll
    for (int warp = 0; warp < threads / 32; ++warp) {
        most = max(most, most_of[warp]);
        least = min(least, least_of[warp]);
    }
    if (least > most) {  // a row of zeros
        most = 127;
        least = 127;
    }
    if (threadIdx.x == 0) {
        const bool lossless = is_rebasable(least, most);
        rebased.factors[row] = !lossless ? -1.0F
                               : has_nan ? __int_as_float(0x7FC00000)
                                         : __int_as_float((most - rebase_top) << 23);
        if (!lossless) {
            *rebased.rows_differ = 1;
        }
    }
    std::uint8_t* const target = rebased.values + static_cast<std::int64_t>(row) * call.depth;
    for (int k = first; k < call.depth; k += threads * values) {
        const uint2 words = words_at(k);
        const int code = code_at(k);
        // A group of zeros may have any scale, and a row that is left to bf16.
        const uint2 magnitudes =
            __ldg(reinterpret_cast<const uint2*>(tables.of_span) + min(max(most - code, 0), rebase_span));
        std::uint32_t packed[4];
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            // Bytes `word` of both: values 2 · word, the next, and those 8 further (rebased_place).
            const std::uint32_t codes = byte_perm(words.x, words.y, 0x0040U + 0x0011U * static_cast<unsigned>(word));
            packed[word] = rebased_codes(codes, magnitudes.x, magnitudes.y);
        }
        *reinterpret_cast<uint4*>(target + k) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
}

}  // namespace

cudaError_t rebase_rows(const WidenCall& call, const RebasedRows& rebased, cudaStream_t stream) {
    rebase<<<static_cast<unsigned>(call.rows), threads, 0, stream>>>(call, rebased);
    return cudaGetLastError();
}

}  // namespace moegemm::hopper
