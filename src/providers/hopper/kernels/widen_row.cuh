/// \file
/// One row of A of 4 or 8 bits and its scales to bf16.
#pragma once

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/widen.hpp"

namespace moegemm::hopper {

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

/// \param thread of `threads` that call together
template <DType a, DType scale, int threads>
__device__ __forceinline__ void widen_row(const WidenCall& call, const RowScales& scales, int row, int thread) {
    constexpr int values = 8;   // that a thread makes 16 bytes of
    constexpr int at_once = 4;  // such pieces: loads that are under way together
    constexpr int bits = a == DType::e2m1x2 ? 4 : 8;
    constexpr int group = scale == DType::ue8m0 ? 32 : 16;
    constexpr int words = values * bits / 32;
    const std::uint8_t* const source = call.a + static_cast<std::int64_t>(row) * (call.depth * bits / 8);
    std::uint16_t* const target = call.out + static_cast<std::int64_t>(row) * call.depth;
    for (int first = thread * values; first < call.depth; first += threads * values * at_once) {
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

}  // namespace moegemm::hopper
