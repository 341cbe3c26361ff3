#include "providers/hopper/kernels/widen.hpp"

#include <algorithm>

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {
namespace {

constexpr int threads = 128;
constexpr int values = 8;   ///< that a thread makes 16 bytes of
constexpr int at_once = 4;  ///< such pieces: loads that are under way together

/// The scale of a code as f32: 2^(code - 127), or ue4m3's value with its 7 bits.
template <DType scale>
__device__ __forceinline__ float scale_of(std::uint32_t code) {
    if constexpr (scale == DType::ue8m0) {
        return code == 255 ? __int_as_float(0x7FC00000)
                           : __uint_as_float(code == 0 ? 0x00400000U : code << 23);  // 2^-127 is a subnormal f32
    } else {
        const std::uint32_t magnitude = code & 127U;
        // Its exponent and mantissa as those of an f32 are the scale · 2^-120, subnormals too.
        return magnitude == 127U ? __int_as_float(0x7FC00000) : __uint_as_float(magnitude << 20) * 0x1p120F;
    }
}

/// Eight e2m1 values, or four of 8 bits, of one word.
template <DType a>
__device__ __forceinline__ void decode(std::uint32_t word, float* out) {
    if constexpr (a == DType::e2m1x2) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const std::uint32_t code = word >> (4 * i);
            // Its exponent and mantissa as those of an f32 are the value · 2^-126, the subnormal too.
            out[i] = __uint_as_float((code & 8U) << 28 | (code & 7U) << 22) * 0x1p126F;
        }
    } else {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const __half2 pair(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(word >> (16 * i)),
                                                          a == DType::e4m3 ? __NV_E4M3 : __NV_E5M2));
            const float2 both = __half22float2(pair);
            out[i * 2] = both.x;
            out[i * 2 + 1] = both.y;
        }
    }
}

/// Of a whole block.
template <DType a, DType scale>
__device__ __forceinline__ void widen_row(const WidenCall& call, int row) {
    constexpr int bits = a == DType::e2m1x2 ? 4 : 8;
    constexpr int group = scale == DType::ue8m0 ? 32 : 16;
    constexpr int words = values * bits / 32;
    const RowOwner owner = owner_of(call.m_indptr, call.experts, row);
    if (owner.expert < 0) {
        return;
    }
    const RowScales scales(call, owner, row);
    const std::uint8_t* const source = call.a + static_cast<std::int64_t>(row) * (call.depth * bits / 8);
    std::uint16_t* const target = call.out + static_cast<std::int64_t>(row) * call.depth;
    for (int first = static_cast<int>(threadIdx.x) * values; first < call.depth; first += threads * values * at_once) {
        std::uint32_t codes[at_once][words];
        std::uint32_t scale_codes[at_once];
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            const int k = min(first + i * threads * values, call.depth - values);
            if constexpr (words == 2) {
                const uint2 two = __ldg(reinterpret_cast<const uint2*>(source + k));
                codes[i][0] = two.x;
                codes[i][1] = two.y;
            } else {
                codes[i][0] = __ldg(reinterpret_cast<const std::uint32_t*>(source + k / 2));
            }
            scale_codes[i] = scales.code(k / group);
        }
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            const int k = first + i * threads * values;
            if (k >= call.depth) {
                break;
            }
            const float factor = scale_of<scale>(scale_codes[i]);
            std::uint32_t pairs[values / 2];
#pragma unroll
            for (int word = 0; word < words; ++word) {
                constexpr int count = values / words;
                float decoded[count];
                decode<a>(codes[i][word], decoded);
#pragma unroll
                for (int j = 0; j < count; j += 2) {
                    const __nv_bfloat162 pair = __floats2bfloat162_rn(decoded[j] * factor, decoded[j + 1] * factor);
                    memcpy(&pairs[(word * count + j) / 2], &pair, sizeof pair);
                }
            }
            *reinterpret_cast<uint4*>(target + k) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
        }
    }
}

template <DType a, DType scale>
__global__ void __launch_bounds__(threads) widen(const __grid_constant__ WidenCall call) {
    ptx::let_next_kernel_start();
    const bool choice = call.rows_differ != nullptr;
    bool all = true;
    if (choice) {
        ptx::wait_for_kernel_before();
        all = __ldcg(call.not_rebasable) != 0;
        if (!all && __ldcg(call.rows_differ) == 0) {
            return;
        }
    }
    for (int row = static_cast<int>(blockIdx.x); row < call.rows; row += static_cast<int>(gridDim.x)) {
        if (all || __ldcg(call.token_factors + row) < 0.0F) {
            widen_row<a, scale>(call, row);
        }
    }
}

template <DType a, DType scale>
cudaError_t launch(const WidenCall& call, cudaStream_t stream) {
    // Where there is likely nothing to do, few blocks look.
    constexpr int few_blocks = 2048;
    const int blocks = call.rows_differ == nullptr ? call.rows : std::min(call.rows, few_blocks);
    widen<a, scale><<<static_cast<unsigned>(blocks), threads, 0, stream>>>(call);
    return cudaGetLastError();
}

}  // namespace

cudaError_t widen_rows(DType a, DType scale, const WidenCall& call, cudaStream_t stream) {
    if (a == DType::e2m1x2) {
        return scale == DType::ue8m0 ? launch<DType::e2m1x2, DType::ue8m0>(call, stream)
                                     : launch<DType::e2m1x2, DType::ue4m3>(call, stream);
    }
    return a == DType::e4m3 ? launch<DType::e4m3, DType::ue8m0>(call, stream)
                            : launch<DType::e5m2, DType::ue8m0>(call, stream);
}

}  // namespace moegemm::hopper
