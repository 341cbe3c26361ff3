/// \file
/// The exact route of ue8m0 scales so large that a scaled element could leave f32 although its products do not.
///
/// Which elements take it depends on the scales of the element's own row and column in the K block alone, so it does
/// not depend on the tiling either. It is right and slow: such scales do not occur in trained models.
#pragma once

#include <cstdint>

#include "providers/cpu/operands.hpp"

namespace moegemm::cpu {

/// Replaces the sums of the elements whose row or column is wide, over one K block of a tile: unscaled products are
/// summed in float64 and each group's sum is multiplied by 2^(sa + sb), which float64 always holds.
/// \param weights      a tile's panels
/// \param wide_rows    (rows.count), 1 or 0
/// \param wide_columns (tile_columns), 1 or 0
/// \param sums         (rows.count, tile_columns)
void replace_wide_sums(const Shape& shape, const CallOperands& operands, const RowRange& rows,
                       const PanelGroup& weights, std::int64_t block, const std::uint8_t* wide_rows,
                       const std::uint8_t* wide_columns, float* sums);

}  // namespace moegemm::cpu
