// Every code of every element times every scale, through every family's decoders, bit for bit.
#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include <moegemm/formats/formats.hpp>

#include "providers/cpu/kernels/dispatch.hpp"
#include "providers/cpu/operands.hpp"

namespace moegemm::cpu {
namespace {

float decode(Element element, unsigned code) {
    const auto byte = static_cast<std::uint8_t>(code);
    switch (element) {
        case Element::bf16:
            return formats::Bf16::decode(static_cast<std::uint16_t>(code));
        case Element::i8:
            return static_cast<float>(static_cast<std::int8_t>(byte));
        case Element::e4m3:
            return formats::E4m3::decode(byte);
        case Element::e5m2:
            return formats::E5m2::decode(byte);
        default:
            return formats::E2m1::decode(byte);
    }
}

float decode(GroupScale scale, unsigned code) {
    const auto byte = static_cast<std::uint8_t>(code);
    return scale == GroupScale::ue8m0 ? formats::Ue8m0::decode(byte) : formats::Ue4m3::decode(byte);
}

/// The same number, or both NaN. Signs of zero count.
bool same(float a, float b) { return a != a ? b != b : std::memcmp(&a, &b, sizeof a) == 0; }

/// Such a block takes another route (exact_sum.hpp), and what is decoded here does not matter.
bool is_wide(Element element, GroupScale scale, unsigned code) {
    return scale == GroupScale::ue8m0 && code >= first_wide_scale(element) && code != 255;
}

TEST(CpuDecoders, RowsOfEveryElementCode) {
    for (const KernelFamily* family : available_families()) {
        for (const Element element : {Element::bf16, Element::i8, Element::e4m3, Element::e5m2, Element::e2m1}) {
            const auto index = static_cast<std::size_t>(element);
            const unsigned codes = element == Element::bf16 ? 65536 : element == Element::e2m1 ? 16 : 256;
            // Every count up to a block, so that every way a row can end is met; codes run on from row to row.
            unsigned next = 0;
            for (std::int64_t count = 1; count <= k_block || next < codes; ++count) {
                const std::int64_t length =
                    element == Element::e2m1 ? (count % k_block + 2) / 2 * 2 : count % k_block + 1;
                std::array<unsigned, k_block> code{};
                std::array<std::uint8_t, 2 * k_block> bytes{};
                for (std::int64_t k = 0; k < length; ++k) {
                    const auto at = static_cast<std::size_t>(k);
                    code[at] = next++ % codes;
                    if (element == Element::bf16) {
                        const auto word = static_cast<std::uint16_t>(code[at]);
                        std::memcpy(&bytes[2 * at], &word, 2);
                    } else if (element == Element::e2m1) {
                        bytes[at / 2] = static_cast<std::uint8_t>(bytes[at / 2] | code[at] << (at % 2 * 4));
                    } else {
                        bytes[at] = static_cast<std::uint8_t>(code[at]);
                    }
                }
                std::array<float, k_block> out{};
                family->decode_row[index](bytes.data(), length, nullptr, 7, out.data());
                for (std::size_t k = 0; k < static_cast<std::size_t>(length); ++k) {
                    ASSERT_TRUE(same(out[k], decode(element, code[k])))
                        << family->name << ", element " << index << ", code " << code[k] << ": " << out[k];
                }
            }
        }
    }
}

struct PanelFormat {
    WeightFormat format;
    Element element;
    GroupScale scale;
};
constexpr std::array<PanelFormat, 8> panel_formats{{{WeightFormat::bf16, Element::bf16, GroupScale::none},
                                                    {WeightFormat::i8, Element::i8, GroupScale::none},
                                                    {WeightFormat::e4m3, Element::e4m3, GroupScale::none},
                                                    {WeightFormat::e5m2, Element::e5m2, GroupScale::none},
                                                    {WeightFormat::e4m3_ue8m0, Element::e4m3, GroupScale::ue8m0},
                                                    {WeightFormat::e5m2_ue8m0, Element::e5m2, GroupScale::ue8m0},
                                                    {WeightFormat::e2m1_ue8m0, Element::e2m1, GroupScale::ue8m0},
                                                    {WeightFormat::e2m1_ue4m3, Element::e2m1, GroupScale::ue4m3}}};

/// Writes one code into a packed panel's block.
void put(const KernelFamily& family, Element element, std::vector<std::uint8_t>& block, std::int64_t k,
         std::int64_t column, unsigned code) {
    const std::int64_t width = family.panel_columns;
    if (element == Element::bf16) {
        const auto word = static_cast<std::uint16_t>(code);
        std::memcpy(&block[static_cast<std::size_t>(2 * (k * width + column))], &word, 2);
    } else if (element == Element::e2m1) {
        const std::int64_t vector = column / (width / 4);
        auto& byte = block[static_cast<std::size_t>(k * width / 2 + 2 * (column % (width / 4)) + vector / 2)];
        const auto shift = static_cast<unsigned>(vector % 2 * 4);
        byte = static_cast<std::uint8_t>((byte & ~(0xFU << shift)) | code << shift);
    } else {
        block[static_cast<std::size_t>(k * width + column)] = static_cast<std::uint8_t>(code);
    }
}

/// Panels whose codes differ in every place and whose scales run through all codes; checked as decoded panels, and as
/// sums with a row of A that picks one k (1 there, 0 elsewhere; skipped where 0 meets what is not finite).
TEST(CpuDecoders, PanelsOfEveryElementCodeAndScale) {
    for (const KernelFamily* family : available_families()) {
        const std::int64_t width = family->panel_columns;
        for (const PanelFormat& format : panel_formats) {
            const std::int64_t group = group_sizes[static_cast<std::size_t>(format.scale)];
            const unsigned codes = format.element == Element::bf16 ? 65536 : format.element == Element::e2m1 ? 16 : 256;
            const bool scaled = format.scale != GroupScale::none;
            const std::int64_t groups = scaled ? k_block / group : 0;
            std::vector<std::uint8_t> elements(static_cast<std::size_t>(k_block * width * 2));
            std::vector<std::uint8_t> scales(static_cast<std::size_t>(groups * width));
            std::vector<float> out(static_cast<std::size_t>(k_block * width));
            const auto code_at = [&](std::int64_t k, std::int64_t column, std::int64_t round) {
                return static_cast<unsigned>(k + 31 * column + 37 * round) % codes;
            };
            const auto scale_at = [&](std::int64_t g, std::int64_t column, std::int64_t round) {
                return static_cast<unsigned>(round + 7 * g + 3 * column) % 256;
            };
            for (std::int64_t round = 0; round < 256; ++round) {
                for (std::int64_t column = 0; column < width; ++column) {
                    for (std::int64_t k = 0; k < k_block; ++k) {
                        put(*family, format.element, elements, k, column, code_at(k, column, round));
                    }
                    for (std::int64_t g = 0; g < groups; ++g) {
                        scales[static_cast<std::size_t>(g * width + column)] =
                            static_cast<std::uint8_t>(scale_at(g, column, round));
                    }
                }
                family->decode_panel[static_cast<std::size_t>(format.format)](elements.data(), scales.data(), k_block,
                                                                              out.data());
                for (std::int64_t column = 0; column < width; ++column) {
                    for (std::int64_t k = 0; k < k_block; ++k) {
                        const float value = decode(format.element, code_at(k, column, round));
                        const unsigned scale_code = scaled ? scale_at(k / group, column, round) : 0;
                        if (is_wide(format.element, format.scale, scale_code)) {
                            continue;
                        }
                        const float want = scaled ? value * decode(format.scale, scale_code) : value;
                        const std::int64_t tile = column / family->tile_columns;
                        const float got = out[static_cast<std::size_t>((tile * k_block + k) * family->tile_columns +
                                                                       column % family->tile_columns)];
                        ASSERT_TRUE(same(got, want))
                            << family->name << ", format " << static_cast<int>(format.format) << ", code "
                            << code_at(k, column, round) << ", scale " << scale_code << ": " << got << ", not " << want;
                    }
                }
            }
        }
    }
}

/// A panel's sums made from its bytes are those of the decoded panel, bit for bit, for each number of rows.
TEST(CpuDecoders, SumsFromPackedPanelsAreThoseOfDecodedOnes) {
    for (const KernelFamily* family : available_families()) {
        const std::int64_t width = family->panel_columns;
        for (const PanelFormat& format : panel_formats) {
            const auto index = static_cast<std::size_t>(format.format);
            for (std::int64_t rows = 1; rows <= family->panel_rows; ++rows) {
                std::vector<std::uint8_t> elements(static_cast<std::size_t>(k_block * width * 2));
                std::vector<std::uint8_t> scales(static_cast<std::size_t>(8 * width));
                std::vector<float> a(static_cast<std::size_t>(rows * k_block));
                std::uint32_t state = 12345;
                const auto draw = [&state] { return (state = state * 1664525U + 1013904223U) >> 16; };
                for (std::uint8_t& byte : elements) {
                    byte = static_cast<std::uint8_t>(draw() % 0x78U | (draw() & 0x80U));
                    byte = format.element == Element::bf16 ? byte & 0xBFU : byte;
                }
                for (std::uint8_t& byte : scales) {
                    byte = static_cast<std::uint8_t>(format.scale == GroupScale::ue8m0 ? 110 + draw() % 30
                                                                                       : draw() % 0x7F);
                }
                for (float& value : a) {
                    value = static_cast<float>(draw() % 2001) / 100.0F - 10.0F;
                }
                for (const std::int64_t depth : {std::int64_t{32}, std::int64_t{96}, k_block}) {
                    const auto size = static_cast<std::size_t>(rows * width);
                    std::vector<float> direct(size, 1.5F);
                    std::vector<float> through_panel(size, 1.5F);
                    const std::vector<RowFactor> factors(static_cast<std::size_t>(rows), {0.75F, 2.0F});
                    std::vector<float> panel(static_cast<std::size_t>(k_block * width));
                    family->decode_panel[index](elements.data(), scales.data(), depth, panel.data());
                    for (const Combine combine : {Combine::store, Combine::add, Combine::add_scaled}) {
                        const std::int64_t tile_size = rows * family->tile_columns;
                        family->panel_sums[index]({a.data(), rows, depth, elements.data(), scales.data(), direct.data(),
                                                   tile_size, factors.data(), combine, nullptr});
                        for (std::int64_t tile = 0; tile < 2; ++tile) {
                            family->tile_sums({a.data(), panel.data() + tile * k_block * family->tile_columns, rows,
                                               depth, through_panel.data() + tile * tile_size, factors.data(),
                                               combine});
                        }
                        ASSERT_EQ(std::memcmp(direct.data(), through_panel.data(), size * sizeof(float)), 0)
                            << family->name << ", format " << index << ", " << rows << " rows, depth " << depth;
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace moegemm::cpu
