/// \file
/// The data types that tensors of the op can have: names, sizes, and their DLPack spelling.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <dlpack/dlpack.h>

namespace moegemm {

/// A stored element's type.
enum class DType : std::uint8_t { bf16, f16, f32, f64, i8, i32, u8, e4m3, e5m2, e2m1x2, ue8m0, ue4m3 };

/// DLPack type codes that came with DLPack 1.1; older headers, such as Debian 12's, do not name them.
inline constexpr std::uint8_t dl_float8_e4m3fn = 10;
inline constexpr std::uint8_t dl_float8_e5m2 = 12;
inline constexpr std::uint8_t dl_float8_e8m0fnu = 14;
inline constexpr std::uint8_t dl_float4_e2m1fn = 17;

/// One row of the table of data types.
struct DTypeInfo {
    DType id;
    std::string_view name;       ///< as records and conformance manifests spell it
    std::string_view long_name;  ///< the framework's spelling ("bfloat16"), or the same as `name`
    std::int64_t bytes;          ///< of one stored element
    std::int64_t values;         ///< numbers in one stored element: 2 for packed e2m1, else 1
    DLDataType dl;               ///< its own DLPack type; one-byte formats are accepted as uint8 too
};

/// All data types, in the order of the enumeration.
inline constexpr std::array<DTypeInfo, 12> dtypes{{
    {DType::bf16, "bf16", "bfloat16", 2, 1, {kDLBfloat, 16, 1}},
    {DType::f16, "f16", "float16", 2, 1, {kDLFloat, 16, 1}},
    {DType::f32, "f32", "float32", 4, 1, {kDLFloat, 32, 1}},
    {DType::f64, "f64", "float64", 8, 1, {kDLFloat, 64, 1}},
    {DType::i8, "i8", "int8", 1, 1, {kDLInt, 8, 1}},
    {DType::i32, "i32", "int32", 4, 1, {kDLInt, 32, 1}},
    {DType::u8, "u8", "uint8", 1, 1, {kDLUInt, 8, 1}},
    {DType::e4m3, "e4m3", "float8_e4m3", 1, 1, {dl_float8_e4m3fn, 8, 1}},
    {DType::e5m2, "e5m2", "float8_e5m2", 1, 1, {dl_float8_e5m2, 8, 1}},
    {DType::e2m1x2, "e2m1x2", "float4_e2m1x2", 1, 2, {dl_float4_e2m1fn, 4, 2}},
    {DType::ue8m0, "ue8m0", "float8_e8m0", 1, 1, {dl_float8_e8m0fnu, 8, 1}},
    {DType::ue4m3, "ue4m3", "float8_e4m3_unsigned", 1, 1, {dl_float8_e4m3fn, 8, 1}},
}};

/// The table's row of a type.
[[nodiscard]] constexpr const DTypeInfo& info(DType dtype) noexcept { return dtypes[static_cast<std::size_t>(dtype)]; }

/// A type by its short or long name; nothing where there is none of that name.
[[nodiscard]] constexpr std::optional<DType> find_dtype(std::string_view name) noexcept {
    for (const DTypeInfo& row : dtypes) {
        if (row.name == name || row.long_name == name) {
            return row.id;
        }
    }
    return std::nullopt;
}

/// Whether a DLPack tensor of type `actual` may stand where the contract wants `expected`:
/// the type itself, or uint8 in place of any one-byte floating-point format.
[[nodiscard]] constexpr bool dl_matches(DType expected, DLDataType actual) noexcept {
    const DTypeInfo& row = info(expected);
    if (actual.code == row.dl.code && actual.bits == row.dl.bits && actual.lanes == row.dl.lanes) {
        return true;
    }
    const bool one_byte_float = row.bytes == 1 && expected != DType::i8;
    return one_byte_float && actual.code == kDLUInt && actual.bits == 8 && actual.lanes == 1;
}

}  // namespace moegemm
