#include <moegemm/reference.hpp>

#include <algorithm>
#include <iterator>

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

/// A row of either operand as numbers, with its block scales where the variant has them.
struct Line {
    explicit Line(const GemmSpec& spec)
        : values(static_cast<std::size_t>(spec.k)),
          block_scales(spec.row().scaling == Scaling::block ? static_cast<std::size_t>(spec.scale_columns()) : 0) {}

    void read_a(const OperandRows& rows, std::int64_t row, std::int64_t expert) {
        rows.a_row(row, expert, values);
        if (!block_scales.empty()) {
            rows.a_block_scales(row, expert, block_scales);
        }
    }
    void read_w(const OperandRows& rows, std::int64_t expert, std::int64_t n) {
        rows.w_row(expert, n, values);
        if (!block_scales.empty()) {
            rows.w_block_scales(expert, n, block_scales);
        }
    }

    std::vector<double> values;
    std::vector<double> block_scales;
};

/// Σ A·W, block by block where blocks are scaled.
double product(const GemmSpec& spec, const Line& a, const Line& w) {
    if (a.block_scales.empty()) {
        return dot(a.values, w.values);
    }
    const auto block = static_cast<std::size_t>(spec.row().scale_group);
    const std::span<const double> left(a.values);
    const std::span<const double> right(w.values);
    double sum = 0;
    for (std::size_t i = 0; i < a.block_scales.size(); ++i) {
        const std::size_t count = std::min(block, left.size() - i * block);
        sum += a.block_scales[i] * w.block_scales[i] *
               dot(left.subspan(i * block, count), right.subspan(i * block, count));
    }
    return sum;
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

double HostOperandRows::a_scale(std::int64_t row, std::int64_t expert, std::int64_t column) const {
    const std::int64_t first_row = m_indptr_[static_cast<std::size_t>(expert)];
    return decode_scale(spec_.row().scale_dtype, operands_.a_scale,
                        scales::a_scale_index(spec_.scale_layout, row, column, expert, first_row,
                                              operands_.a.shape()[0], spec_.scale_columns()));
}

double HostOperandRows::w_scale(std::int64_t expert, std::int64_t n, std::int64_t column) const {
    const std::int64_t rows_per_scale = rows_per_w_scale(spec_);
    const std::int64_t scale_rows = scales::round_up(spec_.n, rows_per_scale) / rows_per_scale;
    return decode_scale(spec_.row().scale_dtype, operands_.w_scale,
                        scales::w_scale_index(spec_.scale_layout, expert, n / rows_per_scale, column, scale_rows,
                                              spec_.scale_columns()));
}

void HostOperandRows::a_row(std::int64_t row, std::int64_t expert, std::span<double> values) const {
    decode_row(spec_.a, operands_.a, row, values);
    if (spec_.row().scaling == Scaling::group && spec_.row().a_scaled) {
        scale_groups(spec_, values, [&](std::int64_t column) { return a_scale(row, expert, column); });
    }
}

void HostOperandRows::w_row(std::int64_t expert, std::int64_t n, std::span<double> values) const {
    decode_row(spec_.w, operands_.w, expert * spec_.n + n, values);
    if (spec_.row().scaling == Scaling::group) {
        scale_groups(spec_, values, [&](std::int64_t column) { return w_scale(expert, n, column); });
    }
}

void HostOperandRows::a_block_scales(std::int64_t row, std::int64_t expert, std::span<double> scales) const {
    for (std::size_t column = 0; column < scales.size(); ++column) {
        scales[column] = a_scale(row, expert, static_cast<std::int64_t>(column));
    }
}

void HostOperandRows::w_block_scales(std::int64_t expert, std::int64_t n, std::span<double> scales) const {
    for (std::size_t column = 0; column < scales.size(); ++column) {
        scales[column] = w_scale(expert, n, static_cast<std::int64_t>(column));
    }
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
    Line a(spec);
    Line w(spec);
    const Element* previous = nullptr;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        const Element& element = elements[i];
        if (previous == nullptr || previous->row != element.row || previous->expert != element.expert) {
            a.read_a(rows, element.row, element.expert);
        }
        if (previous == nullptr || previous->expert != element.expert || previous->column != element.column) {
            w.read_w(rows, element.expert, element.column);
        }
        values[i] = finish(spec, rows, product(spec, a, w), element);
        previous = &element;
    }
}

std::vector<double> reference(const Problem& problem, const OperandRows& rows) {
    // So many rows of W are decoded at a time: they stay in the L2 cache while the expert's rows of A pass by, and a
    // row of A is decoded once for all of them.
    constexpr std::size_t w_rows = 16;
    const GemmSpec& spec = problem.spec();
    std::vector<double> y(static_cast<std::size_t>(checked_mul(problem.rows(), spec.n, "y")));
    Line a(spec);
    std::vector<Line> w(w_rows, Line(spec));
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        const std::int64_t first_row = problem.m_indptr()[static_cast<std::size_t>(expert)];
        const std::int64_t end_row = first_row + problem.rows_of(expert);
        for (std::int64_t first_n = 0; first_n < spec.n && first_row < end_row; first_n += std::ssize(w)) {
            const std::int64_t end_n = std::min(first_n + std::ssize(w), spec.n);
            for (std::int64_t n = first_n; n < end_n; ++n) {
                w[static_cast<std::size_t>(n - first_n)].read_w(rows, expert, n);
            }
            for (std::int64_t row = first_row; row < end_row; ++row) {
                a.read_a(rows, row, expert);
                for (std::int64_t n = first_n; n < end_n; ++n) {
                    y[static_cast<std::size_t>(row * spec.n + n)] = finish(
                        spec, rows, product(spec, a, w[static_cast<std::size_t>(n - first_n)]), {row, expert, n});
                }
            }
        }
    }
    return y;
}

}  // namespace moegemm
