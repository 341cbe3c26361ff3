#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>
#include <moegemm/problem.hpp>
#include <moegemm/scale_layout.hpp>

#include "op/checked.hpp"
#include "op/scale_shape.hpp"

namespace moegemm {
namespace {

void check_count(std::string_view name, std::int64_t value) {
    if (value < 0) {
        throw Error(ErrorCode::invalid_argument, std::string(name), std::to_string(value), "an integer of at least 0");
    }
}

void check_layout(std::string_view name, ScaleLayout layout) {
    if (layout != ScaleLayout::linear && !is_swizzled(layout)) {
        throw Error(ErrorCode::invalid_argument, std::string(name), std::string(to_string(layout)),
                    "one of linear, swizzled_128x4, swizzled_128x4_whole");
    }
}

void check_bytes(std::string_view name, std::size_t actual, std::int64_t expected) {
    if (std::cmp_not_equal(actual, expected)) {
        throw Error(ErrorCode::invalid_argument, std::string(name), fmt::format("{} bytes", actual),
                    fmt::format("{} bytes", expected));
    }
}

/// Sizes so large that their padding would overflow belong to no span.
void check_matrix(std::int64_t rows, std::int64_t columns) {
    check_count("rows", rows);
    check_count("columns", columns);
    (void)checked_mul(checked_add(rows, scales::tile_rows, "rows"),
                      checked_add(columns, scales::tile_columns, "columns"), "rows * columns");
}

}  // namespace

void swizzle_scales(std::span<const std::uint8_t> linear, std::span<std::uint8_t> swizzled, std::int64_t rows,
                    std::int64_t columns) {
    check_matrix(rows, columns);
    check_bytes("linear", linear.size(), rows * columns);
    check_bytes("swizzled", swizzled.size(), scales::padded_rows(rows) * scales::padded_columns(columns));
    convert_w_scales(ScaleLayout::linear, linear, ScaleLayout::swizzled_128x4, swizzled, 1, rows, columns);
}

void unswizzle_scales(std::span<const std::uint8_t> swizzled, std::span<std::uint8_t> linear, std::int64_t rows,
                      std::int64_t columns) {
    check_matrix(rows, columns);
    check_bytes("swizzled", swizzled.size(), scales::padded_rows(rows) * scales::padded_columns(columns));
    check_bytes("linear", linear.size(), rows * columns);
    convert_w_scales(ScaleLayout::swizzled_128x4, swizzled, ScaleLayout::linear, linear, 1, rows, columns);
}

void convert_a_scales(ScaleLayout from, std::span<const std::uint8_t> source, ScaleLayout to,
                      std::span<std::uint8_t> target, std::span<const std::int32_t> m_indptr, std::int64_t columns) {
    check_layout("from", from);
    check_layout("to", to);
    const std::int64_t experts = std::max(static_cast<std::int64_t>(m_indptr.size()) - 1, std::int64_t{1});
    const std::int64_t rows = m_indptr.empty() ? 0 : m_indptr.back();
    check_m_indptr(m_indptr, experts, rows);
    check_matrix(rows + scales::tile_rows * experts, columns);
    const auto stored = [&](ScaleLayout layout) {
        const auto shape = a_scale_shape(layout, rows, experts, columns);
        return shape[0] * shape[1];
    };
    check_bytes("source", source.size(), stored(from));
    check_bytes("target", target.size(), stored(to));
    std::ranges::fill(target, std::uint8_t{0});
    for (std::int64_t expert = 0; expert < experts; ++expert) {
        const std::int64_t first_row = m_indptr[static_cast<std::size_t>(expert)];
        const std::int64_t end_row = m_indptr[static_cast<std::size_t>(expert) + 1];
        for (std::int64_t row = first_row; row < end_row; ++row) {
            for (std::int64_t column = 0; column < columns; ++column) {
                const auto index = [&](ScaleLayout layout) {
                    return static_cast<std::size_t>(
                        scales::a_scale_index(layout, row, column, expert, first_row, rows, columns));
                };
                target[index(to)] = source[index(from)];
            }
        }
    }
}

void convert_w_scales(ScaleLayout from, std::span<const std::uint8_t> source, ScaleLayout to,
                      std::span<std::uint8_t> target, std::int64_t experts, std::int64_t rows, std::int64_t columns) {
    check_layout("from", from);
    check_layout("to", to);
    check_count("experts", experts);
    check_matrix(rows, columns);
    const auto stored = [&](ScaleLayout layout) {
        const auto shape = w_scale_shape(layout, rows, columns);
        return checked_mul(experts, shape[0] * shape[1], "experts * rows * columns");
    };
    check_bytes("source", source.size(), stored(from));
    check_bytes("target", target.size(), stored(to));
    std::ranges::fill(target, std::uint8_t{0});
    for (std::int64_t expert = 0; expert < experts; ++expert) {
        for (std::int64_t row = 0; row < rows; ++row) {
            for (std::int64_t column = 0; column < columns; ++column) {
                const auto index = [&](ScaleLayout layout) {
                    return static_cast<std::size_t>(scales::w_scale_index(layout, expert, row, column, rows, columns));
                };
                target[index(to)] = source[index(from)];
            }
        }
    }
}

}  // namespace moegemm
