/// \file
/// From a packed block in shared memory to the left operand's registers, decoded to bf16.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

#include "providers/hopper/kernels/packed_weights.hpp"
#include "providers/hopper/kernels/weight_decode.hpp"
#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper {

/// Two bf16 times two, each product rounded; here every product is exact.
__device__ __forceinline__ std::uint32_t multiply_pairs(std::uint32_t a, std::uint32_t b) {
    std::uint32_t product;
    asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
    return product;
}

/// One half of a pair, twice: written so that the compiler makes it a part of the multiplication.
template <bool high>
__device__ __forceinline__ std::uint32_t both_halves(std::uint32_t pair) {
    std::uint32_t twice;
    if constexpr (high) {
        asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\nmov.b32 %0, {high, high};\n}"
            : "=r"(twice)
            : "r"(pair));
    } else {
        asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\nmov.b32 %0, {low, low};\n}" : "=r"(twice) : "r"(pair));
    }
    return twice;
}

/// The fragments of a block's four steps, of one thread.
template <WeightFormat format>
class WeightFragments {
public:
    static constexpr WeightBlock block = block_of(format);

    /// Where a thread's parts of a block begin.
    struct Places {
        int values;
        int scales;
    };
    [[nodiscard]] __device__ __forceinline__ static Places places(int thread) {
        constexpr WeightBlock own = block;  // its address is not known on the device
        return {WeightBlock::value_offset(thread, 0), own.scale_offset(thread / 32 * 16 + thread % 32 / 4, 0)};
    }

    /// Loads a thread's words and scales of the block at `at`.
    __device__ __forceinline__ WeightFragments(ptx::SharedAddress at, const Places& own) {
        const auto load = [&](int piece) {
            const int4 four = ptx::load_shared_4(at + own.values + WeightBlock::value_offset(0, piece));
            words_[piece * 4] = static_cast<std::uint32_t>(four.x);
            words_[piece * 4 + 1] = static_cast<std::uint32_t>(four.y);
            words_[piece * 4 + 2] = static_cast<std::uint32_t>(four.z);
            words_[piece * 4 + 3] = static_cast<std::uint32_t>(four.w);
        };
        load(0);
        if constexpr (block.bits == 8) {
            load(1);
        }
        if constexpr (block.groups() == 4) {
            const uint2 scales = ptx::load_shared_2_words(at + own.scales);
            scales_[0] = scales.x;
            scales_[1] = scales.y;
        } else {
            scales_[0] = ptx::load_shared_word(at + own.scales);
        }
    }

    /// The fragments of steps 2 · half and 2 · half + 1, four registers each.
    __device__ __forceinline__ void decode(int half, std::uint32_t* fragments) const {
        std::uint32_t low = 0;   // the factor of row g, twice
        std::uint32_t high = 0;  // of row g + 8
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            if (i == 0 || block.group == 16) {
                const int group = block.group == 16 ? half * 2 + i : half;
                const std::uint32_t pair = __byte_perm(scales_[group / 2], 0, group % 2 == 0 ? 0x4140 : 0x4342);
                const std::uint32_t factors =
                    format == WeightFormat::e2m1_ue4m3 ? ue4m3_factors(pair) : ue8m0_factors(pair);
                low = both_halves<false>(factors);
                high = both_halves<true>(factors);
            }
            const int step = half * 2 + i;
            std::uint32_t* const registers = fragments + i * 4;
            if constexpr (block.bits == 4) {
                registers[0] = multiply_pairs(e2m1_register<0>(words_[step]), low);
                registers[1] = multiply_pairs(e2m1_register<1>(words_[step]), high);
                registers[2] = multiply_pairs(e2m1_register<2>(words_[step]), low);
                registers[3] = multiply_pairs(e2m1_register<3>(words_[step]), high);
            } else {
                registers[0] = multiply_pairs(e4m3_register<false>(words_[step * 2]), low);
                registers[1] = multiply_pairs(e4m3_register<false>(words_[step * 2 + 1]), high);
                registers[2] = multiply_pairs(e4m3_register<true>(words_[step * 2]), low);
                registers[3] = multiply_pairs(e4m3_register<true>(words_[step * 2 + 1]), high);
            }
        }
    }

private:
    std::uint32_t words_[block.bits];
    std::uint32_t scales_[block.groups() / 2];
};

}  // namespace moegemm::hopper
