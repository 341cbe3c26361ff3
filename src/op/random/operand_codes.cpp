#include "op/random/operand_codes.hpp"

#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include <moegemm/error.hpp>

namespace moegemm {
namespace {

constexpr std::array<std::string_view, role_count> role_names{"a", "w", "a_scale", "w_scale", "alpha", "m_indptr", "y"};

/// log2, rounded, of the factor that an element's normal number was multiplied by.
std::int32_t element_exponent(DType dtype) {
    switch (dtype) {
        case DType::i8:
            return 5;  // 127/4
        case DType::e4m3:
            return 7;  // 448/4
        case DType::e5m2:
            return 14;  // 57344/4
        case DType::e2m1x2:
            return 1;  // 6/2.5
        default:
            return 0;  // bf16
    }
}

}  // namespace

OperandGenerator make_operand_generator(const GemmSpec& spec, Role role, std::uint64_t seed) {
    const VariantInfo& row = spec.row();
    const auto stream = static_cast<std::uint64_t>(role);
    const bool scaled = row.scaling != Scaling::none;
    if (role == Role::a) {
        return {seed, stream, spec.a, 0};
    }
    if (role == Role::w) {
        return {seed, stream, spec.w, 0};
    }
    if (role == Role::a_scale && scaled && row.a_scaled) {
        return {seed, stream, row.scale_dtype, -element_exponent(spec.a)};
    }
    if (role == Role::w_scale && scaled) {
        return {seed, stream, row.scale_dtype, -element_exponent(spec.w)};
    }
    if (role == Role::alpha && spec.has_alpha) {
        return {seed, stream, DType::f32, -element_exponent(spec.a) - element_exponent(spec.w)};
    }
    throw Error(ErrorCode::invalid_argument, "role", std::string(role_names[static_cast<std::size_t>(role)]),
                fmt::format("an operand with random data that variant {} has", row.name));
}

}  // namespace moegemm
