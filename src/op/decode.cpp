#include "op/decode.hpp"

#include <array>
#include <string>

#include <moegemm/error.hpp>
#include <moegemm/formats/formats.hpp>

namespace moegemm {
namespace {

template <class Format>
constexpr std::array<double, 256> table_of_codes() {
    std::array<double, 256> table{};
    for (std::size_t code = 0; code < table.size(); ++code) {
        table[code] = static_cast<double>(Format::decode(static_cast<std::uint8_t>(code)));
    }
    return table;
}

struct Int8 {
    static constexpr double decode(std::uint8_t code) { return static_cast<double>(static_cast<std::int8_t>(code)); }
};

template <class Format>
void decode_bytes(const void* stored, std::span<double> values) {
    static constexpr std::array<double, 256> table = table_of_codes<Format>();
    const auto* const codes = static_cast<const std::uint8_t*>(stored);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = table[codes[i]];
    }
}

void decode_nibbles(const void* stored, std::span<double> values) {
    using formats::E2m1;
    static constexpr std::array<double, 256> table = table_of_codes<E2m1>();  // the high nibble is ignored
    const auto* const bytes = static_cast<const std::uint8_t*>(stored);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint8_t byte = bytes[i / 2];
        values[i] = table[i % 2 == 0 ? E2m1::unpack_even(byte) : E2m1::unpack_odd(byte)];
    }
}

template <class Format>
void decode_halves(const void* stored, std::span<double> values) {
    const auto* const codes = static_cast<const std::uint16_t*>(stored);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<double>(Format::decode(codes[i]));
    }
}

void decode_floats(const void* stored, std::span<double> values) {
    const auto* const floats = static_cast<const float*>(stored);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<double>(floats[i]);
    }
}

}  // namespace

void decode(DType dtype, const void* stored, std::span<double> values) {
    switch (dtype) {
        case DType::bf16:
            return decode_halves<formats::Bf16>(stored, values);
        case DType::f16:
            return decode_halves<formats::F16>(stored, values);
        case DType::f32:
            return decode_floats(stored, values);
        case DType::i8:
            return decode_bytes<Int8>(stored, values);
        case DType::e4m3:
            return decode_bytes<formats::E4m3>(stored, values);
        case DType::e5m2:
            return decode_bytes<formats::E5m2>(stored, values);
        case DType::e2m1x2:
            return decode_nibbles(stored, values);
        case DType::ue8m0:
            return decode_bytes<formats::Ue8m0>(stored, values);
        case DType::ue4m3:
            return decode_bytes<formats::Ue4m3>(stored, values);
        case DType::f64:
        case DType::i32:
        case DType::u8:
            break;
    }
    throw Error(ErrorCode::internal, "dtype", std::string(info(dtype).name), "a type of operands or scales");
}

}  // namespace moegemm
