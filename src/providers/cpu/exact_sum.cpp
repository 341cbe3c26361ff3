#include "providers/cpu/exact_sum.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace moegemm::cpu {
namespace {

constexpr std::size_t most_groups = k_block / 32;

/// One row or column over a K block: unscaled numbers, and the scale of each group.
struct Line {
    std::array<float, k_block> values{};
    std::array<double, most_groups> scale{};
};

double scale_value(std::uint8_t code) {
    return code == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, code - 127);
}

void read_row(const Shape& shape, const CallOperands& operands, const RowRange& rows, std::int64_t row,
              std::int64_t block, Line& line) {
    const std::int64_t offset = block * k_block * element_bits[static_cast<std::size_t>(shape.a)] / 8;
    shape.kernels->decode_row[static_cast<std::size_t>(shape.a)](operands.a + row * shape.a_row_bytes + offset,
                                                                 shape.depth(block), nullptr, shape.group_shift,
                                                                 line.values.data());
    const ScaleCodes codes = shape.a_grouped() ? RowScaleCodes(shape, operands, rows, row).of(block) : ScaleCodes{};
    for (std::size_t g = 0; g < line.scale.size(); ++g) {
        line.scale[g] = shape.a_grouped() ? scale_value(codes[g]) : 1.0;
    }
}

void read_column(const Shape& shape, const PanelGroup& weights, std::int64_t column, std::int64_t block, Line& line) {
    const std::int64_t panel = column / panel_columns * weights.stride;
    const std::int64_t depth = shape.depth(block);
    std::array<std::uint8_t, k_block> elements{};
    unpack_column(shape.w, weights.elements + panel, column % panel_columns, depth, elements.data());
    shape.kernels->decode_row[static_cast<std::size_t>(shape.w)](elements.data(), depth, nullptr, shape.group_shift,
                                                                 line.values.data());
    for (std::int64_t g = 0; g < shape.groups(block); ++g) {
        line.scale[static_cast<std::size_t>(g)] =
            scale_value(weights.scales[panel + g * panel_columns + column % panel_columns]);
    }
}

float product(const Shape& shape, std::int64_t block, const Line& row, const Line& column) {
    const auto group = static_cast<std::size_t>(group_sizes[static_cast<std::size_t>(shape.scale)]);
    double total = 0.0;
    for (std::size_t g = 0; g < static_cast<std::size_t>(shape.groups(block)); ++g) {
        double sum = 0.0;
        for (std::size_t k = g * group; k < (g + 1) * group; ++k) {
            sum += static_cast<double>(row.values[k]) * static_cast<double>(column.values[k]);
        }
        total += sum * (row.scale[g] * column.scale[g]);
    }
    return static_cast<float>(total);
}

}  // namespace

void replace_wide_sums(const Shape& shape, const CallOperands& operands, const RowRange& rows,
                       const PanelGroup& weights, std::int64_t block, const std::uint8_t* wide_rows,
                       const std::uint8_t* wide_columns, float* sums) {
    const std::int64_t columns = shape.kernels->tile_columns;
    const bool any_row = std::any_of(wide_rows, wide_rows + rows.count, [](std::uint8_t wide) { return wide != 0; });
    Line row_line;
    Line column_line;
    for (std::int64_t column = 0; column < columns; ++column) {
        if (wide_columns[column] == 0 && !any_row) {
            continue;
        }
        read_column(shape, weights, column, block, column_line);
        for (std::int64_t i = 0; i < rows.count; ++i) {
            if (wide_columns[column] != 0 || wide_rows[i] != 0) {
                read_row(shape, operands, rows, rows.begin + i, block, row_line);
                sums[i * columns + column] = product(shape, block, row_line, column_line);
            }
        }
    }
}

}  // namespace moegemm::cpu
