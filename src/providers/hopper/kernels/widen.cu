#include "providers/hopper/kernels/widen.hpp"

#include <cuda_bf16.h>
#include <cuda_fp8.h>

namespace moegemm::hopper {
namespace {

constexpr int threads = 128;
constexpr int values = 16;  ///< that a thread takes at once

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

/// A block a row.
template <DType a, DType scale>
__global__ void __launch_bounds__(threads) widen(const __grid_constant__ WidenCall call) {
    constexpr int bits = a == DType::e2m1x2 ? 4 : 8;
    constexpr int group = scale == DType::ue8m0 ? 32 : 16;
    constexpr int words = values * bits / 32;
    asm volatile("griddepcontrol.launch_dependents;");
    const int row = static_cast<int>(blockIdx.x);
    // The row's expert: as many experts as end at it or before it, whatever m_indptr holds.
    const int lane = static_cast<int>(threadIdx.x) % 32;
    int expert = 0;
    for (int first = 0; first < call.experts; first += 32) {
        const bool before = first + lane < call.experts && __ldg(call.m_indptr + first + lane + 1) <= row;
        expert += __popc(__ballot_sync(~0U, before));
    }
    if (expert >= call.experts) {
        return;
    }
    const int first_row = __ldg(call.m_indptr + expert);
    if (first_row < 0 || first_row > row) {
        return;
    }
    const std::uint8_t* const source = call.a + static_cast<std::int64_t>(row) * (call.depth * bits / 8);
    std::uint16_t* const target = call.out + static_cast<std::int64_t>(row) * call.depth;
    for (int k = static_cast<int>(threadIdx.x) * values; k < call.depth; k += threads * values) {
        std::uint32_t codes[words];
        if constexpr (words == 4) {
            const uint4 four = __ldg(reinterpret_cast<const uint4*>(source + k));
            codes[0] = four.x;
            codes[1] = four.y;
            codes[2] = four.z;
            codes[3] = four.w;
        } else {
            const uint2 two = __ldg(reinterpret_cast<const uint2*>(source + k / 2));
            codes[0] = two.x;
            codes[1] = two.y;
        }
        const float factor =
            scale_of<scale>(__ldg(call.a_scale + scales::a_scale_index(call.layout, row, k / group, expert, first_row,
                                                                       call.rows, call.scale_columns)));
        std::uint32_t pairs[values / 2];
#pragma unroll
        for (int word = 0; word < words; ++word) {
            constexpr int count = values / words;
            float decoded[count];
            decode<a>(codes[word], decoded);
#pragma unroll
            for (int i = 0; i < count; i += 2) {
                const __nv_bfloat162 pair = __floats2bfloat162_rn(decoded[i] * factor, decoded[i + 1] * factor);
                memcpy(&pairs[(word * count + i) / 2], &pair, sizeof pair);
            }
        }
#pragma unroll
        for (int i = 0; i < values / 8; ++i) {
            *reinterpret_cast<uint4*>(target + k + i * 8) =
                make_uint4(pairs[i * 4], pairs[i * 4 + 1], pairs[i * 4 + 2], pairs[i * 4 + 3]);
        }
    }
}

template <DType a, DType scale>
cudaError_t launch(const WidenCall& call, cudaStream_t stream) {
    widen<a, scale><<<static_cast<unsigned>(call.rows), threads, 0, stream>>>(call);
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
