/// \file
/// Weights in the order in which the kernels read them.
///
/// First the f32 scales where the variant has such (experts_scale, fp8_block's b_scale), as they were, padded to a
/// cache line. Then expert by expert and panel by panel: for each K block its group scales, (group, column), and its
/// elements in lines (kernel_family.hpp), and after the last one, of int8, a line of the sums of the columns. So a
/// panel is one stream of bytes, and all that is added to the contract's bytes is the padding of N to a pair of panels
/// and of K to a line, and int8's sums. The order is the same for every instruction set.
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
    std::int64_t total_bytes;

    /// \throws Error overflow ("packed_w")
    [[nodiscard]] static PackedLayout from(const Shape& shape);
};

/// A K block of `panels` (2 or 4) panels.
[[nodiscard]] inline PanelGroup packed_group(const Shape& shape, const PackedLayout& layout, const std::uint8_t* packed,
                                             std::int64_t expert, std::int64_t panel, std::int64_t panels,
                                             std::int64_t block) noexcept {
    const std::uint8_t* at =
        packed + layout.panels_at + (expert * shape.panels + panel) * layout.panel_bytes + block * layout.block_bytes;
    return {at, at + shape.groups(block) * panel_columns, layout.panel_bytes, panels};
}

/// The sums of int8's columns over all of K: panel_columns numbers.
[[nodiscard]] inline const std::uint8_t* packed_sums(const Shape& shape, const PackedLayout& layout,
                                                     const std::uint8_t* packed, std::int64_t expert,
                                                     std::int64_t panel) noexcept {
    return packed + layout.panels_at + (expert * shape.panels + panel + 1) * layout.panel_bytes - line_bytes;
}

/// The tensors of unpacked weights.
struct RawWeights {
    const std::uint8_t* w;
    const std::uint8_t* w_scale;  ///< of groups
};

/// Packs a K block of one panel: `groups` rows of scales, then `lines` lines.
/// \param out layout.block_bytes bytes at most
void pack_block(const Shape& shape, const RawWeights& weights, std::int64_t expert, std::int64_t panel,
                std::int64_t block, std::uint8_t* out);

/// Packs W and its scales on up to `threads` threads.
/// \param packed layout.total_bytes bytes
void pack_weights(const Shape& shape, const PackedLayout& layout, const Tensor& w, const Tensor& w_scale,
                  std::uint8_t* packed, int threads);

/// One column of a packed K block of 8- or 4-bit floats, back in the contract's order: `depth` elements along k.
void unpack_column(Element element, const std::uint8_t* elements, std::int64_t column, std::int64_t depth,
                   std::uint8_t* out);

}  // namespace moegemm::cpu
