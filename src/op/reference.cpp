#include <moegemm/reference.hpp>

#include <algorithm>

#include "op/checked.hpp"
#include "op/decode.hpp"
#include "op/dot.hpp"

namespace moegemm {
namespace {

/// fp8_block's W has one scale per 128 rows; a group scale is a row's own.
std::int64_t rows_per_w_scale(const GemmSpec& spec) { return spec.row().scaling == Scaling::block ? 128 : 1; }

/// The numbers of row `row` of a matrix that is stored row after row, K numbers each.
/// \param dtype the spec's: the tensor may call its bytes uint8
void decode_row(DType dtype, const Tensor& tensor, std::int64_t row, std::span<double> values) {
    const DTypeInfo& type = info(dtype);
    const std::int64_t row_bytes = static_cast<std::int64_t>(values.size()) / type.values * type.bytes;
    decode(dtype, tensor.as<const std::byte>() + row * row_bytes, values);
}

double decode_scale(DType dtype, const Tensor& scales, std::int64_t index) {
    double scale = 0;
    decode(dtype, scales.as<const std::byte>() + index * info(dtype).bytes, {&scale, 1});
    return scale;
}

bool has_scales_along_k(const GemmSpec& spec) { return spec.row().scale_group != 0; }

/// Multiplies each group of `values` by the scale that `scale_of(column)` gives.
template <class ScaleOf>
void scale_groups(const GemmSpec& spec, std::span<double> values, const ScaleOf& scale_of) {
    const auto group = static_cast<std::size_t>(spec.row().scale_group);
    std::int64_t column = 0;
    for (std::size_t begin = 0; begin < values.size(); begin += group, ++column) {
        const double scale = scale_of(column);
        for (double& value : values.subspan(begin, std::min(group, values.size() - begin))) {
            value *= scale;
        }
    }
}

/// From the sum of products to the result before its rounding to the dst type.
double finish(const GemmSpec& spec, const OperandRows& rows, double sum, const Element& element) {
    if (spec.a == DType::i8) {
        // Every partial sum is a whole number below 2^53, so `sum` is exact; the scaling is defined in f32.
        const float scaled = static_cast<float>(sum) * rows.token_scale(element.row);
        return static_cast<double>(scaled * rows.channel_scale(element.expert, element.column));
    }
    return sum * static_cast<double>(rows.token_scale(element.row)) *
           static_cast<double>(rows.channel_scale(element.expert, element.column)) *
           static_cast<double>(rows.alpha(element.expert));
}

}  // namespace

HostOperandRows::HostOperandRows(const GemmSpec& spec, const Operands& operands, std::span<const std::int32_t> m_indptr)
    : spec_(spec), operands_(operands), m_indptr_(m_indptr) {}

void HostOperandRows::a_row(std::int64_t row, std::int64_t expert, std::span<double> values) const {
    decode_row(spec_.a, operands_.a, row, values);
    if (!spec_.row().a_scaled || !has_scales_along_k(spec_)) {
        return;
    }
    const std::int64_t first_row = m_indptr_[static_cast<std::size_t>(expert)];
    scale_groups(spec_, values, [&](std::int64_t column) {
        return decode_scale(spec_.row().scale_dtype, operands_.a_scale,
                            scales::a_scale_index(spec_.scale_layout, row, column, expert, first_row,
                                                  operands_.a.shape()[0], spec_.scale_columns()));
    });
}

void HostOperandRows::w_row(std::int64_t expert, std::int64_t n, std::span<double> values) const {
    decode_row(spec_.w, operands_.w, expert * spec_.n + n, values);
    if (!has_scales_along_k(spec_)) {
        return;
    }
    const std::int64_t rows_per_scale = rows_per_w_scale(spec_);
    const std::int64_t scale_rows = scales::round_up(spec_.n, rows_per_scale) / rows_per_scale;
    scale_groups(spec_, values, [&](std::int64_t column) {
        return decode_scale(spec_.row().scale_dtype, operands_.w_scale,
                            scales::w_scale_index(spec_.scale_layout, expert, n / rows_per_scale, column, scale_rows,
                                                  spec_.scale_columns()));
    });
}

float HostOperandRows::token_scale(std::int64_t row) const {
    return spec_.row().scaling == Scaling::token_channel ? operands_.a_scale.as<const float>()[row] : 1.0F;
}

float HostOperandRows::channel_scale(std::int64_t expert, std::int64_t n) const {
    return spec_.row().scaling == Scaling::token_channel ? operands_.w_scale.as<const float>()[expert * spec_.n + n]
                                                         : 1.0F;
}

float HostOperandRows::alpha(std::int64_t expert) const {
    if (!spec_.has_alpha) {
        return 1.0F;
    }
    return operands_.alpha.as<const float>()[spec_.row().alpha == Alpha::expert ? expert : 0];
}

void reference_elements(const GemmSpec& spec, const OperandRows& rows, std::span<const Element> elements,
                        std::span<double> values) {
    std::vector<double> a(static_cast<std::size_t>(spec.k));
    std::vector<double> w(static_cast<std::size_t>(spec.k));
    const Element* previous = nullptr;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        const Element& element = elements[i];
        if (previous == nullptr || previous->row != element.row || previous->expert != element.expert) {
            rows.a_row(element.row, element.expert, a);
        }
        if (previous == nullptr || previous->expert != element.expert || previous->column != element.column) {
            rows.w_row(element.expert, element.column, w);
        }
        values[i] = finish(spec, rows, dot(a, w), element);
        previous = &element;
    }
}

std::vector<double> reference(const Problem& problem, const OperandRows& rows) {
    // So many rows of W are decoded at a time: they stay in the L2 cache while the expert's rows of A pass by, and a
    // row of A is decoded once for all of them.
    constexpr std::int64_t w_rows = 16;
    const GemmSpec& spec = problem.spec();
    const auto k = static_cast<std::size_t>(spec.k);
    std::vector<double> y(static_cast<std::size_t>(checked_mul(problem.rows(), spec.n, "y")));
    std::vector<double> a(k);
    std::vector<double> w(k * w_rows);
    const auto w_of = [&](std::int64_t i) { return std::span<double>(w).subspan(static_cast<std::size_t>(i) * k, k); };
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        const std::int64_t first_row = problem.m_indptr()[static_cast<std::size_t>(expert)];
        const std::int64_t end_row = first_row + problem.rows_of(expert);
        for (std::int64_t first_n = 0; first_n < spec.n && first_row < end_row; first_n += w_rows) {
            const std::int64_t end_n = std::min(first_n + w_rows, spec.n);
            for (std::int64_t n = first_n; n < end_n; ++n) {
                rows.w_row(expert, n, w_of(n - first_n));
            }
            for (std::int64_t row = first_row; row < end_row; ++row) {
                rows.a_row(row, expert, a);
                for (std::int64_t n = first_n; n < end_n; ++n) {
                    y[static_cast<std::size_t>(row * spec.n + n)] =
                        finish(spec, rows, dot(a, w_of(n - first_n)), {row, expert, n});
                }
            }
        }
    }
    return y;
}

}  // namespace moegemm
