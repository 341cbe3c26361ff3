#include "bench/generated_rows.hpp"

#include <vector>

#include "op/decode.hpp"

namespace moegemm::bench {
namespace {

std::uint64_t elements(std::int64_t rows, std::int64_t columns) { return static_cast<std::uint64_t>(rows * columns); }

/// The numbers of row `row` of a matrix whose rows hold values.size() numbers each.
void draw_row(const OperandFiller& filler, DType dtype, std::int64_t row, std::span<double> values) {
    const DTypeInfo& type = info(dtype);
    const std::int64_t columns = static_cast<std::int64_t>(values.size()) / type.values;
    std::vector<std::uint32_t> stored(static_cast<std::size_t>((columns * type.bytes + 3) / 4));
    filler.fill(static_cast<std::uint64_t>(row * columns), static_cast<std::uint64_t>(columns), stored.data());
    decode(dtype, stored.data(), values);
}

void scale_groups(std::span<double> values, std::int64_t group, std::span<const double> scales) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] *= scales[i / static_cast<std::size_t>(group)];
    }
}

float draw_one(const OperandFiller& filler, std::int64_t index) {
    double value = 0;
    draw_row(filler, DType::f32, index, {&value, 1});
    return static_cast<float>(value);
}

}  // namespace

GeneratedRows::GeneratedRows(const Problem& problem, std::uint64_t seed)
    : spec_(problem.spec()),
      a_(make_operand_generator(spec_, Role::a, seed), elements(problem.rows(), spec_.k)),
      w_(make_operand_generator(spec_, Role::w, seed), elements(spec_.experts * spec_.n, spec_.k)) {
    const VariantInfo& row = spec_.row();
    if (row.scaling != Scaling::none) {
        if (row.a_scaled) {
            a_scale_.emplace(make_operand_generator(spec_, Role::a_scale, seed), 0);
        }
        w_scale_.emplace(make_operand_generator(spec_, Role::w_scale, seed), 0);
    }
    if (spec_.has_alpha) {
        alpha_.emplace(make_operand_generator(spec_, Role::alpha, seed), 0);
    }
}

std::int64_t GeneratedRows::w_scale_row(std::int64_t expert, std::int64_t n) const {
    const std::int64_t height = spec_.row().scaling == Scaling::block ? spec_.row().scale_group : 1;
    return expert * ((spec_.n + height - 1) / height) + n / height;
}

void GeneratedRows::a_row(std::int64_t row, std::int64_t expert, std::span<double> values) const {
    draw_row(a_, spec_.a, row, values);
    if (spec_.row().scaling == Scaling::group && spec_.row().a_scaled) {
        std::vector<double> scales(static_cast<std::size_t>(spec_.scale_columns()));
        a_block_scales(row, expert, scales);
        scale_groups(values, spec_.row().scale_group, scales);
    }
}

void GeneratedRows::w_row(std::int64_t expert, std::int64_t n, std::span<double> values) const {
    draw_row(w_, spec_.w, expert * spec_.n + n, values);
    if (spec_.row().scaling == Scaling::group) {
        std::vector<double> scales(static_cast<std::size_t>(spec_.scale_columns()));
        w_block_scales(expert, n, scales);
        scale_groups(values, spec_.row().scale_group, scales);
    }
}

void GeneratedRows::a_block_scales(std::int64_t row, std::int64_t /*expert*/, std::span<double> scales) const {
    draw_row(*a_scale_, spec_.row().scale_dtype, row, scales);
}

void GeneratedRows::w_block_scales(std::int64_t expert, std::int64_t n, std::span<double> scales) const {
    draw_row(*w_scale_, spec_.row().scale_dtype, w_scale_row(expert, n), scales);
}

float GeneratedRows::token_scale(std::int64_t row) const {
    return spec_.row().scaling == Scaling::token_channel ? draw_one(*a_scale_, row) : 1.0F;
}

float GeneratedRows::channel_scale(std::int64_t expert, std::int64_t n) const {
    return spec_.row().scaling == Scaling::token_channel ? draw_one(*w_scale_, expert * spec_.n + n) : 1.0F;
}

float GeneratedRows::alpha(std::int64_t expert) const {
    return alpha_ ? draw_one(*alpha_, spec_.row().alpha == Alpha::expert ? expert : 0) : 1.0F;
}

}  // namespace moegemm::bench
