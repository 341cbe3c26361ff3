/// \file
/// The stored shape of mx and nvfp4 scales in each of their layouts.
#pragma once

#include <array>
#include <cstdint>

#include <moegemm/scale_layout.hpp>

#include "op/checked.hpp"

namespace moegemm {

/// Whether mx and nvfp4 scales are stored in tiles of 128×4.
[[nodiscard]] constexpr bool is_swizzled(ScaleLayout layout) noexcept {
    return layout == ScaleLayout::swizzled_128x4 || layout == ScaleLayout::swizzled_128x4_whole;
}

/// (rows, columns) that A's scales of `rows` rows and `columns` scales along K are stored as: linear or swizzled.
/// \throws Error overflow ("a_scale")
[[nodiscard]] inline std::array<std::int64_t, 2> a_scale_shape(ScaleLayout layout, std::int64_t rows,
                                                               std::int64_t experts, std::int64_t columns) {
    if (layout == ScaleLayout::linear) {
        return {rows, columns};
    }
    if (layout == ScaleLayout::swizzled_128x4_whole) {
        return {scales::padded_rows(rows), scales::padded_columns(columns)};
    }
    // The formula of swizzled_total_rows must not overflow.
    (void)checked_add(rows, checked_mul(scales::tile_rows, experts, "a_scale"), "a_scale");
    return {scales::swizzled_total_rows(rows, experts), scales::padded_columns(columns)};
}

/// (rows, columns) that one expert's scales of W are stored as: linear or swizzled.
[[nodiscard]] inline std::array<std::int64_t, 2> w_scale_shape(ScaleLayout layout, std::int64_t rows,
                                                               std::int64_t columns) noexcept {
    if (!is_swizzled(layout)) {
        return {rows, columns};
    }
    return {scales::padded_rows(rows), scales::padded_columns(columns)};
}

}  // namespace moegemm
