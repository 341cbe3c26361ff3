/// \file
/// What a variant multiplies: how eight stored values of a row become registers of mma.sync, and where scales enter.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moegemm/formats/ue8m0.hpp>

#include "providers/cuda/decode.hpp"
#include "providers/cuda/ptx.cuh"
#include "providers/cuda/stage_plan.hpp"

namespace moegemm::cuda {

/// In which order a register pair takes values of the eight: neighbours (0 1, 2 3, …), or, where either operand is
/// packed in four bits, those four apart (0 4, 1 5, …), which is how a 32-bit word of them comes apart.
enum class Pairs { neighbours, four_apart };

/// The 16-bit types of mma.sync, and s8, which needs no decoding.
enum class Math { bf16, f16, s8 };

template <Math M>
struct Multiply;

template <>
struct Multiply<Math::bf16> {
    using Sum = float;
    static constexpr int registers = 4;  ///< that eight values of a row take
    static __device__ void add(float (&sum)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                               std::uint32_t b0, std::uint32_t b1) {
        ptx::mma_bf16(sum, a0, a1, a2, a3, b0, b1);
    }
};
template <>
struct Multiply<Math::f16> {
    using Sum = float;
    static constexpr int registers = 4;
    static __device__ void add(float (&sum)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                               std::uint32_t b0, std::uint32_t b1) {
        ptx::mma_f16(sum, a0, a1, a2, a3, b0, b1);
    }
};
template <>
struct Multiply<Math::s8> {
    using Sum = std::int32_t;
    static constexpr int registers = 2;
    static __device__ void add(std::int32_t (&sum)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2,
                               std::uint32_t a3, std::uint32_t b0, std::uint32_t b1) {
        ptx::mma_s8(sum, a0, a1, a2, a3, b0, b1);
    }
};

/// Eight values of a row as stored, one shared-memory load.
template <int Bits>
struct Stored;
template <>
struct Stored<16> {
    using Load = uint4;
};
template <>
struct Stored<8> {
    using Load = uint2;
};
template <>
struct Stored<4> {
    using Load = std::uint32_t;
};

struct Bf16Element {
    static constexpr int bits = 16;
    template <Math M, Pairs P>
    static __device__ void decode(const uint4& eight, bool /*is_e5m2*/, std::uint32_t (&out)[4]) {
        static_assert(M == Math::bf16 && P == Pairs::four_apart);
        out[0] = __byte_perm(eight.x, eight.z, 0x5410);
        out[1] = __byte_perm(eight.x, eight.z, 0x7632);
        out[2] = __byte_perm(eight.y, eight.w, 0x5410);
        out[3] = __byte_perm(eight.y, eight.w, 0x7632);
    }
};

struct S8Element {
    static constexpr int bits = 8;
};

/// Four e4m3 codes as two f16 each.
__device__ inline void decode_e4m3(std::uint32_t codes, std::uint32_t& low, std::uint32_t& high) {
#if __CUDA_ARCH__ >= 890
    ptx::cvt_f16x2_e4m3x2(codes, low, high);
#else
    low = ptx::mul_f16x2(e4m3_as_f16(__byte_perm(codes, 0, 0x1404)), f16_two_8);
    high = ptx::mul_f16x2(e4m3_as_f16(__byte_perm(codes, 0, 0x3424)), f16_two_8);
#endif
}
/// Four e5m2 codes likewise.
__device__ inline void decode_e5m2(std::uint32_t codes, std::uint32_t& low, std::uint32_t& high) {
    low = __byte_perm(codes, 0, 0x1404);  // the same format with a longer mantissa
    high = __byte_perm(codes, 0, 0x3424);
}

/// 8-bit floats. \tparam Either whether the call says which of the two formats it is; else it is e4m3
template <bool Either>
struct Fp8Element {
    static constexpr int bits = 8;
    template <Math M, Pairs P>
    static __device__ void decode(const uint2& eight, bool is_e5m2, std::uint32_t (&out)[4]) {
        static_assert(M == Math::f16);
        std::uint32_t front = eight.x;  // codes of pairs 0 and 1
        std::uint32_t back = eight.y;   // of pairs 2 and 3
        if constexpr (P == Pairs::four_apart) {
            front = __byte_perm(eight.x, eight.y, 0x5140);
            back = __byte_perm(eight.x, eight.y, 0x7362);
        }
        decode_e4m3(front, out[0], out[1]);
        decode_e4m3(back, out[2], out[3]);
        if constexpr (Either) {
            std::uint32_t other[4];
            decode_e5m2(front, other[0], other[1]);
            decode_e5m2(back, other[2], other[3]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                out[i] = is_e5m2 ? other[i] : out[i];
            }
        }
    }
};
using E4m3Element = Fp8Element<false>;
using EitherFp8Element = Fp8Element<true>;

struct E2m1Element {
    static constexpr int bits = 4;
    template <Math M, Pairs P>
    static __device__ void decode(std::uint32_t eight, bool /*is_e5m2*/, std::uint32_t (&out)[4]) {
        static_assert(M != Math::s8 && P == Pairs::four_apart);
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) {
            out[pair] = M == Math::bf16 ? ptx::mul_bf16x2(e2m1_as_bf16(eight, pair), bf16_two_126)
                                        : ptx::mul_f16x2(e2m1_as_f16(eight, pair), f16_two_14);
        }
    }
};

/// e2m1 × 2^-126 in bf16, for scales that make up for it.
struct SmallE2m1Element {
    static constexpr int bits = 4;
    template <Math M, Pairs P>
    static __device__ void decode(std::uint32_t eight, bool /*is_e5m2*/, std::uint32_t (&out)[4]) {
        static_assert(M == Math::bf16 && P == Pairs::four_apart);
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) {
            out[pair] = e2m1_as_bf16(eight, pair);
        }
    }
};

/// Where scales along K enter.
enum class ScaleAt {
    nowhere,   ///< there are none
    operands,  ///< decoded values are multiplied: exact, for the e2m1 operands that this is for
    sums,      ///< a group's sums are multiplied, in f32
};

/// Encodings of scales along K.
enum class ScaleCode { none, ue8m0, ue4m3, f32 };

template <ScaleAt At>
struct StagedScaleOf {
    using Type = float;
};
template <>
struct StagedScaleOf<ScaleAt::operands> {
    using Type = std::uint16_t;  // bf16
};

/// What a kernel computes. \tparam Group values along K that share a scale; 0 without scales
template <class WeightElement, class TokenElement, Math M, ScaleAt At = ScaleAt::nowhere,
          ScaleCode Code = ScaleCode::none, int Group = 0>
struct Recipe {
    using Weight = WeightElement;
    using Token = TokenElement;
    using Multiply = cuda::Multiply<M>;
    using Sum = typename Multiply::Sum;
    using StagedScale = typename StagedScaleOf<At>::Type;
    static constexpr Math math = M;
    static constexpr ScaleAt scale_at = At;
    static constexpr ScaleCode scale_code = Code;
    static constexpr int group = Group;
    /// bf16 tokens have no scales. Block scales of fp8_block are one for 128 rows of W.
    static constexpr bool tokens_scaled = Group != 0 && TokenElement::bits != 16;
    static constexpr int rows_a_weight_scale = Code == ScaleCode::f32 ? 128 : 1;
    static constexpr Pairs pairs =
        WeightElement::bits == 4 || TokenElement::bits == 4 ? Pairs::four_apart : Pairs::neighbours;
    /// Whether values are multiplied as they are stored: then ldmatrix puts them into mma.sync's registers.
    static constexpr bool decodes = !(M == Math::s8 || (WeightElement::bits == 16 && TokenElement::bits == 16));
    /// k of a stage: 128 bytes a row of the wider operand.
    static constexpr int depth = TokenElement::bits == 16 ? 64 : 128;
    static_assert(WeightElement::bits <= TokenElement::bits, "the wider operand is the tokens'");
    static_assert(At != ScaleAt::operands || WeightElement::bits == 4, "other products would not be exact");
    static_assert((Code == ScaleCode::ue4m3) == std::is_same_v<WeightElement, SmallE2m1Element>,
                  "a staged ue4m3 scale makes up for a factor");
    static_assert(depth % (Group == 0 ? 1 : Group) == 0, "a stage begins where a group does");
    static_assert(At != ScaleAt::sums || Group % step_depth == 0, "sums end where a step does");
};

/// The bits of a scale as it is staged: f32, or bf16 (a quarter of a ue8m0 scale, 2^118 times a ue4m3 one). Beyond K it
/// is 0, so that it meets zeros only.
template <class R>
[[nodiscard]] __device__ inline std::uint32_t staged_scale(std::uint32_t code) {
    if constexpr (R::scale_at == ScaleAt::operands) {
        return R::scale_code == ScaleCode::ue8m0 ? ue8m0_quarter_as_bf16(code) : ue4m3_raised_as_bf16(code);
    } else if constexpr (R::scale_code == ScaleCode::ue8m0) {
        return formats::float_bits(formats::Ue8m0::decode(static_cast<std::uint8_t>(code)));
    } else {
        return code;
    }
}

}  // namespace moegemm::cuda
