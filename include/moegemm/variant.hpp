/// \file
/// The variant table: everything in which the eleven kinds of the op differ, one row a variant.
/// Validation, tensor specs, byte counts, `moegemm variants` and the documentation are derived from it.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include <moegemm/dtype.hpp>
#include <moegemm/scale_layout.hpp>

namespace moegemm {

/// The kinds of the op, in the table's order.
enum class Variant : std::uint8_t {
    bf16,
    int8,
    fp8,
    fp8_token,
    fp8_block,
    mxfp8,
    mxfp4,
    mxfp4_a4,
    mxfp4_a16,
    nvfp4,
    nvfp4_a16,
};

/// How products are scaled.
enum class Scaling : std::uint8_t {
    none,           ///< not at all, or by alpha only
    token_channel,  ///< f32 per row of A (R) and per row of W (E, N), after the sum
    block,          ///< f32 per 1×128 block of A and 128×128 block of W, on each block's sum
    group,          ///< one byte (scale_dtype) per `group` elements along K, on the operands themselves
};

/// The optional factor of the whole result.
enum class Alpha : std::uint8_t { none, tensor /* (1) f32 */, expert /* (E) f32 */ };

/// What one argument (dtype, w_dtype, compute_dtype) may be called: a set of data type spellings, as bits.
using NameSet = std::uint32_t;
namespace names {
inline constexpr NameSet bf16 = 1U << 0;       ///< bfloat16, bf16
inline constexpr NameSet int8 = 1U << 1;       ///< int8
inline constexpr NameSet e4m3 = 1U << 2;       ///< e4m3, fp8_e4m3, float8_e4m3, float8
inline constexpr NameSet e5m2 = 1U << 3;       ///< e5m2, fp8_e5m2, float8_e5m2
inline constexpr NameSet fp8 = 1U << 4;        ///< fp8: per-tensor scaling, as a compute name only
inline constexpr NameSet fp8_block = 1U << 5;  ///< fp8_block: block scaling, as a compute name only
inline constexpr NameSet mx_e4m3 = 1U << 6;    ///< mxfp8, mxfloat8, mxfloat8_e4m3
inline constexpr NameSet mx_e5m2 = 1U << 7;    ///< mxfloat8_e5m2
inline constexpr NameSet mxfp4 = 1U << 8;      ///< mxfp4
inline constexpr NameSet mxfloat4 = 1U << 9;   ///< mxfloat4, mxfloat4_e2m1: xpu-perf's name for the same element
inline constexpr NameSet nvfp4 = 1U << 10;     ///< nvfp4

inline constexpr NameSet fp8_element = e4m3 | e5m2;
inline constexpr NameSet mx8_element = mx_e4m3 | mx_e5m2;
inline constexpr NameSet mx4_element = mxfp4 | mxfloat4;
}  // namespace names

/// One way to name a variant by its three types.
struct Naming {
    NameSet dtype = 0;
    NameSet w_dtype = 0;
    NameSet compute_dtype = 0;
};

/// One row of the variant table.
struct VariantInfo {
    Variant id;
    std::string_view name;
    std::array<std::string_view, 3> types;  ///< the canonical dtype, w_dtype, compute_dtype
    std::array<Naming, 2> namings;          ///< every accepted naming; an unused second one is empty
    DType a;                                ///< element of A; e4m3 stands for e4m3 or e5m2, by the argument's name
    DType w;                                ///< element of W; likewise
    Scaling scaling;
    DType scale_dtype;           ///< of the scales, f32 where there are none
    std::int64_t scale_group;    ///< elements along K that share a scale: 16, 32, 128; 0 where none is per block
    bool a_scaled;               ///< whether A has scales (the a16 variants have none)
    Alpha alpha;                 ///< always optional; absent means 1
    std::int64_t k_granularity;  ///< K is a multiple of this
    std::int64_t k_max;          ///< the largest K
    std::array<ScaleLayout, 3> layouts;  ///< allowed scale layouts, the default first; `none` fills up
    std::string_view formula;            ///< y of row i (of expert e), column n, for people
};

// clang-format off: a table reads by columns
/// All variants, in the order of the enumeration.
inline constexpr std::array<VariantInfo, 11> variants{{
    {Variant::bf16,
     "bf16",
     {"bfloat16", "bfloat16", "bfloat16"},
     {{{names::bf16, names::bf16, names::bf16}, {}}},
     DType::bf16,
     DType::bf16,
     Scaling::none,
     DType::f32,
     0,
     false,
     Alpha::none,
     1,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::none, ScaleLayout::none, ScaleLayout::none},
     "sum_k A*W"},
    {Variant::int8,
     "int8",
     {"int8", "int8", "int8"},
     {{{names::int8, names::int8, names::int8}, {}}},
     DType::i8,
     DType::i8,
     Scaling::token_channel,
     DType::f32,
     0,
     true,
     Alpha::none,
     1,
     131071,
     {ScaleLayout::none, ScaleLayout::none, ScaleLayout::none},
     "float(sum_k A*W) * per_token_scale[i] * experts_scale[e,n]"},
    {Variant::fp8,
     "fp8",
     {"fp8_e4m3", "fp8_e4m3", "fp8"},
     {{{names::fp8_element, names::fp8_element, names::fp8}, {}}},
     DType::e4m3,
     DType::e4m3,
     Scaling::none,
     DType::f32,
     0,
     false,
     Alpha::tensor,
     1,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::none, ScaleLayout::none, ScaleLayout::none},
     "alpha * sum_k A*W"},
    {Variant::fp8_token,
     "fp8_token",
     {"float8", "float8", "float8"},
     {{{names::fp8_element, names::fp8_element, names::fp8_element}, {}}},
     DType::e4m3,
     DType::e4m3,
     Scaling::token_channel,
     DType::f32,
     0,
     true,
     Alpha::none,
     1,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::none, ScaleLayout::none, ScaleLayout::none},
     "sum_k A*W * per_token_scale[i] * experts_scale[e,n]"},
    {Variant::fp8_block,
     "fp8_block",
     {"fp8_e4m3", "fp8_e4m3", "fp8_block"},
     {{{names::fp8_element, names::fp8_element, names::fp8_block}, {}}},
     DType::e4m3,
     DType::e4m3,
     Scaling::block,
     DType::f32,
     128,
     true,
     Alpha::none,
     1,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::mn_major, ScaleLayout::k_major, ScaleLayout::none},
     "sum_kb a_scale[kb,i] * b_scale[e,kb,n/128] * sum_{k in kb} A*W"},
    {Variant::mxfp8,
     "mxfp8",
     {"mxfp8", "mxfp8", "mxfp8"},
     {{{names::mx8_element, names::mx8_element, names::mx8_element}, {}}},
     DType::e4m3,
     DType::e4m3,
     Scaling::group,
     DType::ue8m0,
     32,
     true,
     Alpha::none,
     32,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::swizzled_128x4, ScaleLayout::linear, ScaleLayout::swizzled_128x4_whole},
     "sum_k (A*2^sa) * (W*2^sb)"},
    {Variant::mxfp4,
     "mxfp4",
     {"mxfp4", "mxfp4", "mxfp4"},
     {{{names::mxfp4, names::mxfp4, names::mxfp4}, {names::mx8_element, names::mx4_element, names::mx4_element}}},
     DType::e4m3,
     DType::e2m1x2,
     Scaling::group,
     DType::ue8m0,
     32,
     true,
     Alpha::none,
     32,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::swizzled_128x4, ScaleLayout::linear, ScaleLayout::swizzled_128x4_whole},
     "sum_k (A*2^sa) * (W*2^sb)"},
    {Variant::mxfp4_a4,
     "mxfp4_a4",
     {"mxfloat4", "mxfloat4", "mxfloat4"},
     {{{names::mxfloat4, names::mxfloat4, names::mxfloat4}, {}}},
     DType::e2m1x2,
     DType::e2m1x2,
     Scaling::group,
     DType::ue8m0,
     32,
     true,
     Alpha::none,
     32,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::swizzled_128x4, ScaleLayout::linear, ScaleLayout::swizzled_128x4_whole},
     "sum_k (A*2^sa) * (W*2^sb)"},
    {Variant::mxfp4_a16,
     "mxfp4_a16",
     {"bfloat16", "mxfp4", "bfloat16"},
     {{{names::bf16, names::mx4_element, names::bf16}, {}}},
     DType::bf16,
     DType::e2m1x2,
     Scaling::group,
     DType::ue8m0,
     32,
     false,
     Alpha::none,
     32,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::swizzled_128x4, ScaleLayout::linear, ScaleLayout::swizzled_128x4_whole},
     "sum_k A * (W*2^sb)"},
    {Variant::nvfp4,
     "nvfp4",
     {"nvfp4", "nvfp4", "nvfp4"},
     {{{names::nvfp4, names::nvfp4, names::nvfp4}, {}}},
     DType::e2m1x2,
     DType::e2m1x2,
     Scaling::group,
     DType::ue4m3,
     16,
     true,
     Alpha::expert,
     16,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::swizzled_128x4, ScaleLayout::linear, ScaleLayout::swizzled_128x4_whole},
     "alpha[e] * sum_k (A*sa) * (W*sb)"},
    {Variant::nvfp4_a16,
     "nvfp4_a16",
     {"bfloat16", "nvfp4", "bfloat16"},
     {{{names::bf16, names::nvfp4, names::bf16}, {}}},
     DType::bf16,
     DType::e2m1x2,
     Scaling::group,
     DType::ue4m3,
     16,
     false,
     Alpha::expert,
     16,
     std::numeric_limits<std::int64_t>::max(),
     {ScaleLayout::swizzled_128x4, ScaleLayout::linear, ScaleLayout::swizzled_128x4_whole},
     "alpha[e] * sum_k A * (W*sb)"},
}};
// clang-format on

/// The table's row of a variant.
[[nodiscard]] constexpr const VariantInfo& info(Variant variant) noexcept {
    return variants[static_cast<std::size_t>(variant)];
}

/// A variant by its name; nothing where there is none.
[[nodiscard]] constexpr std::optional<Variant> find_variant(std::string_view name) noexcept {
    for (const VariantInfo& row : variants) {
        if (row.name == name) {
            return row.id;
        }
    }
    return std::nullopt;
}

/// What a dtype quadruple stands for.
struct TypedVariant {
    Variant variant;
    DType a;    ///< element of A, e5m2 where the argument says so
    DType w;    ///< element of W
    DType dst;  ///< bf16, f16 or f32
};

/// Resolves the arguments dtype, w_dtype, compute_dtype, dst_dtype; every alias is accepted.
/// \throws Error invalid_argument: "dtype", "w_dtype", "compute_dtype" or "dst_dtype" for a name that is none;
///         "dtype,w_dtype,compute_dtype" for three names that together name no variant
[[nodiscard]] TypedVariant resolve_variant(std::string_view dtype, std::string_view w_dtype,
                                           std::string_view compute_dtype, std::string_view dst_dtype);

}  // namespace moegemm
