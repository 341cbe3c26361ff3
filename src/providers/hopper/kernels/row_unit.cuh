/// \file
/// Sixteen values of a row of A of 4 or 8 bits and their scale, to bf16.
#pragma once

#include <cstdint>

#include "providers/hopper/kernels/row_values.hpp"
#include "providers/hopper/kernels/weight_fragments.cuh"
#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper {

/// As loaded: what one thread takes at once.
template <DType type, DType scale>
class RowUnit {
public:
    static constexpr int values = 16;
    static constexpr int bytes = values * (type == DType::e2m1x2 ? 4 : 8) / 8;
    static constexpr int group = scale == DType::ue8m0 ? 32 : 16;  ///< values of a scale

    /// \param source the row's unit, aligned to its bytes
    /// \param code   of its scale
    __device__ __forceinline__ void load(const std::uint8_t* source, std::uint32_t code) {
        if constexpr (words == 4) {
            set(__ldg(reinterpret_cast<const int4*>(source)));
        } else {
            set(__ldg(reinterpret_cast<const uint2*>(source)));
        }
        code_ = code;
    }
    /// The same from shared memory.
    __device__ __forceinline__ void load(ptx::SharedAddress source, std::uint32_t code) {
        if constexpr (words == 4) {
            set(ptx::load_shared_4(source));
        } else {
            set(ptx::load_shared_2_words(source));
        }
        code_ = code;
    }

    /// Value · scale, rounded to nearest even where bf16 does not have it.
    /// \param front, back of the first eight values and the last
    __device__ __forceinline__ void widen(uint4& front, uint4& back) const {
        std::uint32_t scales = RowScale<scale>::bits_of(code_);
        if constexpr (RowScale<scale>::exponent != 0) {
            scales = multiply_pairs(scales, RowScale<scale>::factor);
        }
        bool special = false;
#pragma unroll
        for (const std::uint32_t word : words_) {
            special = special || Values::has_special(word);
        }
        std::uint32_t pairs[values / 2];
#pragma unroll
        for (int i = 0; i < values / 2; ++i) {
            constexpr int in_word = Values::in_word / 2;
            pairs[i] = multiply_pairs(Values::pair_of(words_[i / in_word], i % in_word), Values::factor);
        }
        if (special) {
#pragma unroll
            for (int i = 0; i < values / 2; ++i) {
                constexpr int in_word = Values::in_word / 2;
                pairs[i] |= Values::special_bits(words_[i / in_word], i % in_word);
            }
        }
#pragma unroll
        for (std::uint32_t& pair : pairs) {
            pair = multiply_pairs(pair, scales);
        }
        front = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
        back = make_uint4(pairs[4], pairs[5], pairs[6], pairs[7]);
    }

private:
    __device__ __forceinline__ void set(int4 four) {
        words_[0] = static_cast<std::uint32_t>(four.x);
        words_[1] = static_cast<std::uint32_t>(four.y);
        words_[2] = static_cast<std::uint32_t>(four.z);
        words_[3] = static_cast<std::uint32_t>(four.w);
    }
    __device__ __forceinline__ void set(uint2 two) {
        words_[0] = two.x;
        words_[1] = two.y;
    }

    using Values = RowValues<type>;
    static constexpr int words = bytes / 4;

    std::uint32_t words_[words];
    std::uint32_t code_;
};

}  // namespace moegemm::hopper
