#include "providers/cpu/operands.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>

#include <moegemm/formats/ue4m3.hpp>
#include <moegemm/formats/ue8m0.hpp>

namespace moegemm::cpu {
namespace {

template <class Format>
constexpr std::array<float, 256> make_table() {
    std::array<float, 256> table{};
    for (std::size_t code = 0; code < table.size(); ++code) {
        table[code] = Format::decode(static_cast<std::uint8_t>(code));
    }
    return table;
}

constexpr std::array<float, 256> ue8m0_values = make_table<formats::Ue8m0>();
constexpr std::array<float, 256> ue4m3_values = make_table<formats::Ue4m3>();

const std::array<float, 256>& scale_values(GroupScale scale) noexcept {
    return scale == GroupScale::ue8m0 ? ue8m0_values : ue4m3_values;
}

std::int64_t block_offset(Element element, std::int64_t block) noexcept {
    return block * k_block * element_bits[static_cast<std::size_t>(element)] / 8;
}

constexpr std::size_t groups_at_most = std::tuple_size_v<ScaleCodes>;

/// Turns the group scales of a row or a column into numbers.
class LineScales {
public:
    LineScales(const Shape& shape, OrdinaryScales ordinary, std::int64_t block) noexcept
        : values_(scale_values(shape.scale)),
          groups_(static_cast<std::size_t>(shape.groups(block))),
          ordinary_(shape.scale == GroupScale::ue8m0 ? ordinary : OrdinaryScales{0, 255, true}) {}

    /// \return whether any of them is wide
    bool decode(const ScaleCodes& codes, std::array<float, groups_at_most>& scale) const noexcept {
        bool any_wide = false;
        for (std::size_t g = 0; g < groups_; ++g) {
            scale[g] = values_[codes[g]];
            any_wide = any_wide || !ordinary_.has(codes[g]);
        }
        return any_wide;
    }

private:
    const std::array<float, 256>& values_;
    std::size_t groups_;
    OrdinaryScales ordinary_;
};

}  // namespace

CallOperands CallOperands::from(const Operands& operands) {
    CallOperands call{};
    call.a = operands.a.as<const std::uint8_t>();
    call.a_scale = operands.a_scale.as<const std::uint8_t>();
    call.a_factor = operands.a_scale.as<const float>();
    if (operands.packed_w.defined()) {
        call.packed = operands.packed_w.as<const std::uint8_t>();
        call.w_factor = operands.packed_w.as<const float>();
    } else {
        call.w = operands.w.as<const std::uint8_t>();
        call.w_scale = operands.w_scale.as<const std::uint8_t>();
        call.w_factor = operands.w_scale.as<const float>();
    }
    call.alpha = operands.alpha.defined() ? operands.alpha.as<const float>() : nullptr;
    call.m_indptr = operands.m_indptr.as<const std::int32_t>();
    call.y = operands.y.as<std::uint8_t>();
    call.rows = operands.a.shape()[0];
    return call;
}

RowScaleCodes::RowScaleCodes(const Shape& shape, const CallOperands& operands, const RowRange& rows,
                             std::int64_t row) noexcept
    : shape_(shape) {
    const auto at = [&](std::int64_t column) {
        return scales::a_scale_index(shape.spec.scale_layout, row, column, rows.expert, rows.expert_row, operands.rows,
                                     shape.spec.scale_columns());
    };
    const std::int64_t first = at(0);
    first_ = operands.a_scale + first;
    step_ = at(scales::tile_columns) - first;
}

ScaleCodes RowScaleCodes::of(std::int64_t block) const noexcept {
    ScaleCodes codes{};
    const std::int64_t groups = std::min(shape_.groups(block), std::ssize(codes));
    for (std::int64_t g = 0; g < groups; g += scales::tile_columns) {
        const std::uint8_t* run = first_ + (block * shape_.block_groups + g) / scales::tile_columns * step_;
        for (std::int64_t i = g; i < std::min(g + scales::tile_columns, groups); ++i) {
            codes[static_cast<std::size_t>(i)] = run[i - g];
        }
    }
    return codes;
}

void read_a_block(const Shape& shape, const CallOperands& operands, const RowRange& rows, std::int64_t block,
                  float* out, std::uint8_t* wide) {
    const DecodeRow decode = shape.kernels->decode_row[static_cast<std::size_t>(shape.a)];
    const bool grouped = shape.a_grouped();
    const LineScales scales(shape, OrdinaryScales::of_f32(shape.a), block);
    const std::int64_t depth = shape.depth(block);
    const std::int64_t padded = shape.lines(block) * line_depths[static_cast<std::size_t>(shape.w)];
    for (std::int64_t i = 0; i < rows.count; ++i) {
        const std::int64_t row = rows.begin + i;
        std::array<float, groups_at_most> scale{};
        wide[i] = grouped && scales.decode(RowScaleCodes(shape, operands, rows, row).of(block), scale) ? 1 : 0;
        decode(operands.a + row * shape.a_row_bytes + block_offset(shape.a, block), depth,
               grouped ? scale.data() : nullptr, shape.group_shift, out + i * k_block);
        std::fill(out + i * k_block + depth, out + i * k_block + padded, 0.0F);
    }
}

namespace {

/// Fills the rows after the last one up to the end of its tile with zeros.
/// \param block of whole tiles of rows of `row_bytes` bytes, tile by tile or row by row
void clear_rest(std::int64_t rows, std::int64_t row_bytes, bool by_tiles, std::uint8_t* block) {
    const std::int64_t whole = Shape::whole_tiles(rows);
    if (!by_tiles || rows == whole) {
        std::fill(block + rows * row_bytes, block + whole * row_bytes, std::uint8_t{0});
        return;
    }
    const std::int64_t in_tile = rows % matrix_tile * line_bytes;
    std::uint8_t* last = block + (whole - matrix_tile) * row_bytes;
    for (std::int64_t at = 0; at < matrix_tile * row_bytes; at += matrix_tile * line_bytes) {
        std::fill(last + at + in_tile, last + at + matrix_tile * line_bytes, std::uint8_t{0});
    }
}

/// Where a row begins in a block of rows of `row_bytes` bytes that lies tile by tile.
std::int64_t row_in_tiles(std::int64_t row, std::int64_t row_bytes) noexcept {
    return row / matrix_tile * matrix_tile * row_bytes + row % matrix_tile * line_bytes;
}

}  // namespace

void read_tile_blocks(const Shape& shape, const CallOperands& operands, const RowRange& rows, BlockRange blocks,
                      std::uint8_t* out, std::uint8_t* wide) {
    const DecodeRowBf16 decode = shape.family->bf16->row[static_cast<std::size_t>(shape.a)];
    const bool grouped = shape.a_grouped();
    const bool by_tiles = shape.matrix->a_by_tiles;
    const std::int64_t stride = by_tiles ? matrix_tile * line_bytes : 32 * shape.matrix->a_bytes;
    const PairOrder order = shape.w == Element::e2m1 ? PairOrder::of_e2m1 : PairOrder::consecutive;
    const std::int64_t row_bytes = shape.tile_row_bytes();
    const std::int64_t block_bytes = Shape::whole_tiles(rows.count) * row_bytes;
    for (std::int64_t i = 0; i < rows.count; ++i) {
        const std::int64_t row = rows.begin + i;
        const RowScaleCodes codes(shape, operands, rows, row);
        std::uint8_t* row_out = out + (by_tiles ? row_in_tiles(i, row_bytes) : i * row_bytes);
        for (std::int64_t place = 0; place < blocks.count; ++place) {
            const std::int64_t block = blocks.begin + place;
            std::array<float, groups_at_most> scale{};
            const LineScales scales(shape, OrdinaryScales::of_tiles(), block);
            wide[place * rows.count + i] = grouped && scales.decode(codes.of(block), scale) ? 1 : 0;
            decode(operands.a + row * shape.a_row_bytes + block_offset(shape.a, block), shape.depth(block),
                   grouped ? scale.data() : nullptr, shape.group_shift, order, stride, row_out + place * block_bytes);
        }
    }
    for (std::int64_t place = 0; place < blocks.count; ++place) {
        clear_rest(rows.count, row_bytes, by_tiles, out + place * block_bytes);
    }
}

namespace {

// The rest of a K block meets the padding of W's last line: any number will do.
void add_128(const std::uint8_t* from, std::int64_t depth, std::uint8_t* to) {
    for (std::int64_t k = 0; k < depth; ++k) {
        to[k] = from[k] ^ 0x80;
    }
    std::fill(to + depth, to + int8_k_block, std::uint8_t{0});
}

/// To int16, of four k those of 0, 2, 1, 3.
void widen(const std::uint8_t* from, std::int64_t depth, std::uint8_t* to) {
    std::array<std::uint8_t, int8_k_block> rest{};
    if (depth < int8_k_block) {
        std::copy_n(from, depth, rest.begin());
        from = rest.data();
    }
    for (std::int64_t k = 0; k < int8_k_block; k += 4) {
        std::uint32_t four = 0;
        std::memcpy(&four, from + k, sizeof four);
        const auto low_of_sixteen = [](std::uint32_t bytes) {
            // Of either byte's sign the eight bits above it.
            return bytes | ((bytes >> 7 & 0x00010001U) * 0xFF00U);
        };
        const std::uint32_t pairs[2] = {low_of_sixteen(four & 0x00FF00FFU), low_of_sixteen(four >> 8 & 0x00FF00FFU)};
        std::memcpy(to + 2 * k, pairs, sizeof pairs);
    }
}

}  // namespace

void read_int8_blocks(const Shape& shape, const CallOperands& operands, const RowRange& rows, BlockRange blocks,
                      std::uint8_t* out) {
    for (std::int64_t i = 0; i < rows.count; ++i) {
        for (std::int64_t place = 0; place < blocks.count; ++place) {
            const std::int64_t block = blocks.begin + place;
            const std::int64_t depth = shape.depth(block);
            const std::uint8_t* from = operands.a + (rows.begin + i) * shape.a_row_bytes + block * int8_k_block;
            std::uint8_t* to = out + (place * rows.count + i) * shape.int8_row_bytes();
            shape.family->int8->a_bytes == 1 ? add_128(from, depth, to) : widen(from, depth, to);
        }
    }
}

void read_int8_tiles(const Shape& shape, const CallOperands& operands, const RowRange& rows, BlockRange blocks,
                     std::uint8_t* out) {
    constexpr std::int64_t stride = matrix_tile * line_bytes;
    const std::int64_t block_size = Shape::whole_tiles(rows.count) * int8_k_block;
    for (std::int64_t i = 0; i < rows.count; ++i) {
        for (std::int64_t place = 0; place < blocks.count; ++place) {
            const std::int64_t block = blocks.begin + place;
            const std::int64_t depth = shape.depth(block);
            const std::uint8_t* from = operands.a + (rows.begin + i) * shape.a_row_bytes + block * int8_k_block;
            std::uint8_t* to = out + place * block_size + row_in_tiles(i, int8_k_block);
            for (std::int64_t k = 0; k < int8_k_block; k += line_bytes, to += stride) {
                const std::int64_t rest = std::clamp<std::int64_t>(depth - k, 0, line_bytes);
                if (rest == line_bytes) {
                    std::memcpy(to, from + k, line_bytes);
                } else {
                    std::memcpy(to, from + k, static_cast<std::size_t>(rest));
                    std::memset(to + rest, 0, static_cast<std::size_t>(line_bytes - rest));
                }
            }
        }
    }
    for (std::int64_t place = 0; place < blocks.count; ++place) {
        clear_rest(rows.count, int8_k_block, true, out + place * block_size);
    }
}

bool find_wide_columns(const Shape& shape, const PanelGroup& weights, std::int64_t block, OrdinaryScales ordinary,
                       std::uint8_t* wide) {
    if (shape.scale != GroupScale::ue8m0) {
        return false;
    }
    const std::int64_t count = shape.groups(block) * panel_columns;
    // Almost always none: one pass over the bytes, without a branch, so that compilers make it one in vectors.
    const auto span = static_cast<std::uint8_t>(ordinary.last - ordinary.first);
    const std::uint8_t ordinary_too = ordinary.nan ? 255 : ordinary.first;
    std::uint8_t any = 0;
    for (std::int64_t panel = 0; panel < weights.panels; ++panel) {
        const std::uint8_t* scales = weights.scales + panel * weights.stride;
        for (std::int64_t begin = 0; begin < count; begin += panel_columns) {
            for (std::int64_t i = begin; i < begin + panel_columns; ++i) {
                const auto from_first = static_cast<std::uint8_t>(scales[i] - ordinary.first);
                const std::uint8_t past = from_first > span ? 1 : 0;
                const std::uint8_t other = scales[i] != ordinary_too ? 1 : 0;
                any = static_cast<std::uint8_t>(any | static_cast<std::uint8_t>(past & other));
            }
        }
    }
    if (any == 0) {
        return false;
    }
    std::fill(wide, wide + weights.panels * panel_columns, std::uint8_t{0});
    for (std::int64_t panel = 0; panel < weights.panels; ++panel) {
        const std::uint8_t* scales = weights.scales + panel * weights.stride;
        for (std::int64_t i = 0; i < count; ++i) {
            if (!ordinary.has(scales[i])) {
                wide[panel * panel_columns + i % panel_columns] = 1;
            }
        }
    }
    return true;
}

}  // namespace moegemm::cpu
