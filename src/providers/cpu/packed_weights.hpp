/// \file
/// Weights in the order in which the kernels read them.
///
/// First the f32 scales where the variant has such (experts_scale, fp8_block's b_scale), as they were, padded to a
/// cache line. Then expert by expert and panel by panel: for each K block its group scales, (group, column), and its
/// elements, (k, column); 4-bit elements as KernelFamily says. So one panel is one stream of bytes, and all that is
/// added to the contract's bytes is the padding of the last panel to its full width.
#pragma once

#include <cstdint>

#include <moegemm/tensor.hpp>

#include "providers/cpu/shape.hpp"

namespace moegemm::cpu {

/// Offsets into packed weights, in bytes.
struct PackedLayout {
    std::int64_t panels_at;    ///< of the first panel
    std::int64_t panel_bytes;  ///< of a panel, all of K
    std::int64_t block_bytes;  ///< of a whole K block of a panel
    std::int64_t row_bytes;    ///< of the elements of one k of a panel
    std::int64_t total_bytes;

    /// \throws Error overflow ("packed_w")
    [[nodiscard]] static PackedLayout from(const Shape& shape);
};

/// One K block of one panel.
struct PackedBlock {
    const std::uint8_t* scales;  ///< (groups, panel_columns)
    const std::uint8_t* elements;
};
[[nodiscard]] inline PackedBlock packed_block(const Shape& shape, const PackedLayout& layout,
                                              const std::uint8_t* packed, std::int64_t expert, std::int64_t panel,
                                              std::int64_t block) noexcept {
    const std::uint8_t* at =
        packed + layout.panels_at + (expert * shape.panels + panel) * layout.panel_bytes + block * layout.block_bytes;
    return {at, at + shape.groups(block) * shape.kernels->panel_columns};
}

/// Packs W and its scales on up to `threads` threads.
/// \param packed layout.total_bytes bytes
void pack_weights(const Shape& shape, const PackedLayout& layout, const Tensor& w, const Tensor& w_scale,
                  std::uint8_t* packed, int threads);

/// One column of a packed K block, back in the contract's order: `depth` elements along k, 8- or 4-bit.
void unpack_column(const Shape& shape, const PackedLayout& layout, const std::uint8_t* elements, std::int64_t column,
                   std::int64_t depth, std::uint8_t* out);

}  // namespace moegemm::cpu
