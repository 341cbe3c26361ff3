#include "providers/hopper/kernels/rebase_rows.hpp"

#include <cuda_fp8.h>

#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/weight_decode.hpp"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {
namespace {

constexpr int threads = 128;
constexpr int values = 16;  ///< that a thread takes at once: half a group

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
        // A group of zeros may have any scale.
        const int exponent = min(max(code - most, -rebase_span), 0) + rebase_top + 127;
        // e2m1's bits as an f32's exponent and mantissa are the value · 2^-126, the subnormal too.
        const float factor = __int_as_float(exponent << 23);
        float decoded[values];
#pragma unroll
        for (int i = 0; i < values; ++i) {
            const std::uint32_t nibble = (i < 8 ? words.x : words.y) >> (4 * (i % 8));
            decoded[rebased_place(i)] = __uint_as_float((nibble & 8U) << 28 | (nibble & 7U) << 22) * 0x1p126F * factor;
        }
        std::uint32_t packed[4];
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            const auto pair = [&](int at) {
                return static_cast<std::uint32_t>(__nv_cvt_float2_to_fp8x2(
                    make_float2(decoded[word * 4 + at], decoded[word * 4 + at + 1]), __NV_SATFINITE, __NV_E4M3));
            };
            packed[word] = pair(0) | pair(2) << 16;
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
