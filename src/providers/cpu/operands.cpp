#include "providers/cpu/operands.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <moegemm/formats/ue4m3.hpp>
#include <moegemm/formats/ue8m0.hpp>

namespace moegemm::cpu {
namespace {

constexpr std::size_t most_groups = 8;  // of 16 in a K block

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

bool is_wide(std::uint8_t code, std::uint8_t first_wide) noexcept { return code >= first_wide && code != 255; }

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

bool read_a_block(const Shape& shape, const CallOperands& operands, const RowRange& rows, std::int64_t block,
                  float* out, std::uint8_t* wide) {
    const DecodeRow decode = shape.kernels->decode_row[static_cast<std::size_t>(shape.a)];
    const bool grouped = shape.a_grouped();
    const std::int64_t groups = shape.groups(block);
    const std::uint8_t first_wide = shape.scale == GroupScale::ue8m0 ? first_wide_scale(shape.a) : 255;
    const std::array<float, 256>& values = scale_values(shape.scale);
    bool any_wide = false;
    for (std::int64_t i = 0; i < rows.count; ++i) {
        const std::int64_t row = rows.begin + i;
        std::array<float, most_groups> scale{};
        bool row_wide = false;
        if (grouped) {
            for (std::int64_t g = 0; g < groups; ++g) {
                const std::uint8_t code = a_scale_code(shape, operands, rows, row, block * shape.block_groups + g);
                scale[static_cast<std::size_t>(g)] = values[code];
                row_wide = row_wide || is_wide(code, first_wide);
            }
        }
        if (shape.scale == GroupScale::ue8m0) {
            wide[i] = row_wide ? 1 : 0;
            any_wide = any_wide || row_wide;
        }
        decode(operands.a + row * shape.a_row_bytes + block_offset(shape.a, block), shape.depth(block),
               grouped ? scale.data() : nullptr, shape.group_shift, out + i * k_block);
    }
    return any_wide;
}

void read_w_block(const Shape& shape, const CallOperands& operands, std::int64_t expert, std::int64_t panel,
                  std::int64_t block, float* stage, float* out) {
    const DecodeRow decode = shape.kernels->decode_row[static_cast<std::size_t>(shape.w)];
    const std::int64_t width = shape.kernels->panel_columns;
    const std::int64_t columns = shape.columns(panel);
    const std::int64_t depth = shape.depth(block);
    const bool grouped = shape.scale != GroupScale::none;
    const std::array<float, 256>& values = scale_values(shape.scale);
    for (std::int64_t column = 0; column < columns; ++column) {
        const std::int64_t n = panel * width + column;
        std::array<float, most_groups> scale{};
        for (std::int64_t g = 0; g < shape.groups(block); ++g) {
            scale[static_cast<std::size_t>(g)] =
                values[w_scale_code(shape, operands, expert, n, block * shape.block_groups + g)];
        }
        decode(operands.w + (expert * shape.spec.n + n) * shape.w_row_bytes + block_offset(shape.w, block), depth,
               grouped ? scale.data() : nullptr, shape.group_shift, stage + column * k_block);
    }
    std::fill(stage + columns * k_block, stage + width * k_block, 0.0F);
    shape.kernels->transpose(stage, depth, out);
}

bool find_wide_columns(const Shape& shape, const PackedLayout& layout, const CallOperands& operands,
                       std::int64_t expert, std::int64_t panel, std::int64_t block, std::uint8_t* wide) {
    if (shape.scale != GroupScale::ue8m0) {
        return false;
    }
    const std::int64_t width = shape.kernels->panel_columns;
    const std::int64_t columns = shape.columns(panel);
    const std::uint8_t first_wide = first_wide_scale(shape.w);
    if (operands.packed != nullptr) {
        const PackedBlock packed = packed_block(shape, layout, operands.packed, expert, panel, block);
        // Almost always none: one pass over the bytes, in vectors, says so.
        const auto span = static_cast<std::uint8_t>(255 - first_wide);
        std::uint8_t any = 0;
        for (std::int64_t i = 0; i < shape.groups(block) * width; ++i) {
            any = static_cast<std::uint8_t>(any | (static_cast<std::uint8_t>(packed.scales[i] - first_wide) < span));
        }
        if (any == 0) {
            return false;
        }
        for (std::int64_t column = 0; column < width; ++column) {
            wide[column] = 0;
            for (std::int64_t g = 0; g < shape.groups(block); ++g) {
                wide[column] |= static_cast<std::uint8_t>(is_wide(packed.scales[g * width + column], first_wide));
            }
        }
        return true;
    }
    bool any = false;
    for (std::int64_t column = 0; column < columns; ++column) {
        bool column_wide = false;
        for (std::int64_t g = 0; g < shape.groups(block); ++g) {
            column_wide = column_wide || is_wide(w_scale_code(shape, operands, expert, panel * width + column,
                                                              block * shape.block_groups + g),
                                                 first_wide);
        }
        wide[column] = column_wide ? 1 : 0;
        any = any || column_wide;
    }
    return any;
}

}  // namespace moegemm::cpu
