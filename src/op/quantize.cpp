#include <moegemm/quantize.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>
#include <moegemm/formats/formats.hpp>
#include <moegemm/tensor.hpp>

#include "op/checked.hpp"

namespace moegemm {
namespace {

using Values = std::span<const float>;

void check_values(std::string_view name, Values values, std::int64_t expected) {
    if (std::cmp_not_equal(values.size(), expected)) {
        throw Error(ErrorCode::invalid_argument, std::string(name), fmt::format("{} values", values.size()),
                    fmt::format("{} values", expected));
    }
    const auto found = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
    if (found != values.end()) {
        throw Error(ErrorCode::invalid_argument, std::string(name),
                    fmt::format("{} at index {}", *found, found - values.begin()), "finite values");
    }
}

float amax_of(Values values) {
    float most = 0.0F;
    for (const float value : values) {
        most = std::max(most, std::abs(value));
    }
    return most;
}

/// The largest number of an element type that carries scales.
float largest(DType dtype) {
    switch (dtype) {
        case DType::i8:
            return 127.0F;
        case DType::e5m2:
            return formats::E5m2::max;
        case DType::e2m1x2:
            return formats::E2m1::max;
        default:
            return formats::E4m3::max;
    }
}

/// amax / most, 1 where all are zeros, and never 0 through underflow.
float scale_of(float amax, float most) {
    return amax == 0.0F ? 1.0F : std::max(amax / most, std::numeric_limits<float>::denorm_min());
}

/// The code of value/scale; magnitudes that rounding of the scale has pushed beyond the largest number become it.
std::uint8_t encode(DType dtype, float value, double scale) {
    const double most = static_cast<double>(largest(dtype));
    const double quotient = std::clamp(static_cast<double>(value) / scale, -most, most);
    switch (dtype) {
        case DType::i8:
            return static_cast<std::uint8_t>(static_cast<std::int8_t>(std::nearbyint(quotient)));
        case DType::e5m2:
            return formats::E5m2::encode(static_cast<float>(quotient));
        case DType::e2m1x2:
            return formats::E2m1::encode(static_cast<float>(quotient));
        default:
            return formats::E4m3::encode(static_cast<float>(quotient));
    }
}

/// OCP Microscaling Formats v1.0, section 6.3: 2^(floor(log2 amax) − emax), within what UE8M0 holds.
std::uint8_t mx_scale(float amax, DType element) {
    constexpr int bias = formats::Ue8m0::exponent_bias;
    if (amax == 0.0F) {
        return static_cast<std::uint8_t>(bias);  // 2^0
    }
    const int exponent = std::ilogb(amax) - std::ilogb(largest(element));
    return static_cast<std::uint8_t>(std::clamp(exponent, -bias, bias) + bias);
}

/// amax/6 relative to the operand's factor; never 0 for a group that has other numbers.
std::uint8_t nv_scale(float amax, float factor) {
    if (amax == 0.0F) {
        return formats::Ue4m3::encode(1.0F);
    }
    const double most = static_cast<double>(formats::E2m1::max) * static_cast<double>(factor);
    const auto scale = static_cast<float>(static_cast<double>(amax) / most);
    return std::max<std::uint8_t>(formats::Ue4m3::encode(scale), 1);
}

/// Either operand as a matrix of K columns whose rows are owned by experts: A's rows, or W's N rows of each expert.
struct Matrix {
    const GemmSpec& spec;
    bool tokens;  ///< A; else W
    DType dtype;
    Values values;
    std::vector<std::int64_t> first_rows;  ///< E+1

    [[nodiscard]] bool scaled() const {
        return spec.row().scaling != Scaling::none && (!tokens || spec.row().a_scaled);
    }
    /// Rows and columns that share a scale.
    [[nodiscard]] std::int64_t block_rows() const { return !tokens && spec.row().scaling == Scaling::block ? 128 : 1; }
    [[nodiscard]] std::int64_t block_columns() const {
        return spec.row().scale_group == 0 ? spec.k : spec.row().scale_group;
    }

    [[nodiscard]] Values part(std::int64_t row, std::int64_t column, std::int64_t columns) const {
        return values.subspan(static_cast<std::size_t>(row * spec.k + column), static_cast<std::size_t>(columns));
    }
    [[nodiscard]] Values of_experts(std::size_t first, std::size_t end) const {
        return part(first_rows[first], 0, (first_rows[end] - first_rows[first]) * spec.k);
    }

    /// Where the scale of the block that starts at (row, column) is stored.
    [[nodiscard]] std::int64_t scale_index(std::size_t expert, std::int64_t row, std::int64_t column) const {
        const std::int64_t first_row = first_rows[expert];
        const auto owner = static_cast<std::int64_t>(expert);
        if (spec.row().scaling == Scaling::token_channel) {
            return row;
        }
        if (tokens) {
            return scales::a_scale_index(spec.scale_layout, row, column / block_columns(), owner, first_row,
                                         first_rows.back(), spec.scale_columns());
        }
        return scales::w_scale_index(spec.scale_layout, owner, (row - first_row) / block_rows(),
                                     column / block_columns(), scales::round_up(spec.n, block_rows()) / block_rows(),
                                     spec.scale_columns());
    }
};

/// The factors that alpha undoes: one of the whole operand, or nvfp4's of each expert's weights.
std::vector<float> factors_of(const Matrix& matrix) {
    const std::size_t experts = matrix.first_rows.size() - 1;
    if (!matrix.spec.has_alpha || matrix.dtype == DType::bf16) {
        return {};
    }
    if (matrix.spec.row().alpha == Alpha::tensor) {
        return {scale_of(amax_of(matrix.values), largest(matrix.dtype))};
    }
    // Scales of e4m3 reach up to 448 times the factor.
    constexpr float most = formats::E2m1::max * formats::Ue4m3::max;
    if (matrix.tokens) {
        return {scale_of(amax_of(matrix.values), most)};
    }
    std::vector<float> factors;
    for (std::size_t expert = 0; expert < experts; ++expert) {
        factors.push_back(scale_of(amax_of(matrix.of_experts(expert, expert + 1)), most));
    }
    return factors;
}

/// The stored scale `index`, for a block of this amax. \return what the block's numbers are divided by
double store_scale(const Matrix& matrix, float amax, float factor, std::int64_t index, std::span<std::uint8_t> stored) {
    if (matrix.spec.row().scaling != Scaling::group) {
        const float scale = scale_of(amax, largest(matrix.dtype));
        std::memcpy(&stored[static_cast<std::size_t>(index) * sizeof scale], &scale, sizeof scale);
        return static_cast<double>(scale);
    }
    std::uint8_t& code = stored[static_cast<std::size_t>(index)];
    if (matrix.spec.row().scale_dtype == DType::ue8m0) {
        code = mx_scale(amax, matrix.dtype);
        return static_cast<double>(formats::Ue8m0::decode(code));
    }
    code = nv_scale(amax, factor);
    return static_cast<double>(formats::Ue4m3::decode(code)) * static_cast<double>(factor);
}

/// Stores value/scale as number `index` of the matrix.
void store_value(DType dtype, float value, double scale, std::size_t index, std::span<std::uint8_t> stored) {
    if (dtype == DType::bf16) {
        const formats::Bf16::Code code = formats::Bf16::encode(value);
        std::memcpy(&stored[index * sizeof code], &code, sizeof code);
    } else if (dtype == DType::e2m1x2) {
        const std::uint8_t code = encode(dtype, value, scale);
        std::uint8_t& byte = stored[index / 2];
        byte = index % 2 == 0 ? formats::E2m1::pack(code, formats::E2m1::unpack_odd(byte))
                              : formats::E2m1::pack(formats::E2m1::unpack_even(byte), code);
    } else {
        stored[index] = encode(dtype, value, scale);
    }
}

void quantize_block(const Matrix& matrix, std::size_t expert, std::int64_t first_row, std::int64_t column, float factor,
                    QuantizedOperand& out) {
    const GemmSpec& spec = matrix.spec;
    const std::int64_t end_row = std::min(first_row + matrix.block_rows(), matrix.first_rows[expert + 1]);
    const std::int64_t columns = std::min(matrix.block_columns(), spec.k - column);
    double scale = static_cast<double>(factor);
    if (matrix.scaled()) {
        float amax = 0.0F;
        for (std::int64_t row = first_row; row < end_row; ++row) {
            amax = std::max(amax, amax_of(matrix.part(row, column, columns)));
        }
        scale = store_scale(matrix, amax, factor, matrix.scale_index(expert, first_row, column), out.scales);
    }
    for (std::int64_t row = first_row; row < end_row; ++row) {
        auto index = static_cast<std::size_t>(row * spec.k + column);
        for (const float value : matrix.part(row, column, columns)) {
            store_value(matrix.dtype, value, scale, index++, out.values);
        }
    }
}

QuantizedOperand quantize(const Matrix& matrix) {
    QuantizedOperand out;
    for (const TensorSpec& tensor : tensor_specs(matrix.spec, matrix.tokens ? matrix.first_rows.back() : 0)) {
        if (tensor.role == (matrix.tokens ? Role::a : Role::w)) {
            out.values.resize(static_cast<std::size_t>(tensor.bytes));
        } else if (tensor.role == (matrix.tokens ? Role::a_scale : Role::w_scale)) {
            out.scales.resize(static_cast<std::size_t>(tensor.bytes));  // padding stays 0
        }
    }
    out.alpha = factors_of(matrix);
    for (std::size_t expert = 0; expert + 1 < matrix.first_rows.size(); ++expert) {
        const float factor = out.alpha.empty() ? 1.0F : out.alpha[std::min(expert, out.alpha.size() - 1)];
        for (std::int64_t row = matrix.first_rows[expert]; row < matrix.first_rows[expert + 1];
             row += matrix.block_rows()) {
            for (std::int64_t column = 0; column < matrix.spec.k; column += matrix.block_columns()) {
                quantize_block(matrix, expert, row, column, factor, out);
            }
        }
    }
    return out;
}

}  // namespace

QuantizedOperand quantize_tokens(const Problem& problem, std::span<const float> values) {
    const GemmSpec& spec = problem.spec();
    check_values("scatter_tokens", values, checked_mul(problem.rows(), spec.k, "scatter_tokens"));
    return quantize({spec, true, spec.a, values, {problem.m_indptr().begin(), problem.m_indptr().end()}});
}

QuantizedOperand quantize_weights(const GemmSpec& spec, std::span<const float> values) {
    spec.check();
    check_values("experts_weight", values, checked_mul({spec.experts, spec.n, spec.k}, "experts_weight"));
    std::vector<std::int64_t> first_rows;
    for (std::int64_t expert = 0; expert <= spec.experts; ++expert) {
        first_rows.push_back(expert * spec.n);
    }
    return quantize({spec, false, spec.w, values, std::move(first_rows)});
}

std::vector<float> combine_alpha(const GemmSpec& spec, const QuantizedOperand& a, const QuantizedOperand& w) {
    if (!spec.has_alpha) {
        return {};
    }
    std::vector<float> alpha = w.alpha;
    for (float& factor : alpha) {
        factor *= a.alpha.empty() ? 1.0F : a.alpha.front();  // bf16 tokens have no factor
    }
    return alpha;
}

}  // namespace moegemm
