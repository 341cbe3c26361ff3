// Every code of every element times every scale through every family's decoders, and the kernels' sums, bit for bit.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/formats/formats.hpp>

#include "providers/cpu/emulated_tiles.hpp"
#include "providers/cpu/kernels/dispatch.hpp"
#include "providers/cpu/operands.hpp"
#include "providers/cpu/packed_weights.hpp"

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
                family->f32->decode_row[index](bytes.data(), length, nullptr, 7, out.data());
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

/// Writes one code into the lines of a packed panel's block: an independent statement of the order, by element.
void put(Element element, std::vector<std::uint8_t>& block, std::int64_t k, std::int64_t column, unsigned code) {
    const auto at = [](std::int64_t byte) { return static_cast<std::size_t>(byte); };
    const std::int64_t quarter = column / 4 * 16 + column % 4 * 2;
    switch (element) {
        case Element::bf16:
            block[at(k / 2 * 64 + column * 4 + k % 2 * 2)] = static_cast<std::uint8_t>(code);
            block[at(k / 2 * 64 + column * 4 + k % 2 * 2 + 1)] = static_cast<std::uint8_t>(code >> 8);
            break;
        case Element::i8:
            block[at(k / 4 * 64 + column * 4 + k % 4)] = static_cast<std::uint8_t>(code);
            break;
        case Element::e2m1: {
            std::uint8_t& byte = block[at(k / 8 * 64 + column * 4 + k % 8 / 2)];
            const auto shift = static_cast<unsigned>(k % 2 * 4);
            byte = static_cast<std::uint8_t>((byte & ~(0xFU << shift)) | code << shift);
            break;
        }
        default:
            block[at(k / 4 * 64 + quarter + k % 4 / 2 * 8 + k % 2)] = static_cast<std::uint8_t>(code);
            break;
    }
}

/// Panels whose codes differ in every place and whose scales run through all codes.
TEST(CpuDecoders, PanelsOfEveryElementCodeAndScale) {
    for (const KernelFamily* family : available_families()) {
        for (const PanelFormat& format : panel_formats) {
            const std::int64_t group = group_sizes[static_cast<std::size_t>(format.scale)];
            const unsigned codes = format.element == Element::bf16 ? 65536 : format.element == Element::e2m1 ? 16 : 256;
            const bool scaled = format.scale != GroupScale::none;
            const std::int64_t groups = scaled ? k_block / group : 0;
            std::vector<std::uint8_t> elements(static_cast<std::size_t>(k_block * panel_columns * 2));
            std::vector<std::uint8_t> scales(static_cast<std::size_t>(groups * panel_columns));
            constexpr std::int64_t stride = panel_columns + 3;
            std::vector<float> out(static_cast<std::size_t>(k_block * stride));
            const auto code_at = [&](std::int64_t k, std::int64_t column, std::int64_t round) {
                return static_cast<unsigned>(k + 31 * column + 37 * round) % codes;
            };
            const auto scale_at = [&](std::int64_t g, std::int64_t column, std::int64_t round) {
                return static_cast<unsigned>(round + 7 * g + 3 * column) % 256;
            };
            for (std::int64_t round = 0; round < 256; ++round) {
                for (std::int64_t column = 0; column < panel_columns; ++column) {
                    for (std::int64_t k = 0; k < k_block; ++k) {
                        put(format.element, elements, k, column, code_at(k, column, round));
                    }
                    for (std::int64_t g = 0; g < groups; ++g) {
                        scales[static_cast<std::size_t>(g * panel_columns + column)] =
                            static_cast<std::uint8_t>(scale_at(g, column, round));
                    }
                }
                std::fill(out.begin(), out.end(), 1234.5F);
                family->f32->decode_panel[static_cast<std::size_t>(format.format)](elements.data(), scales.data(),
                                                                                   k_block, out.data(), stride);
                for (std::int64_t k = 0; k < k_block; ++k) {
                    for (std::int64_t column = panel_columns; column < stride; ++column) {
                        ASSERT_EQ(out[static_cast<std::size_t>(k * stride + column)], 1234.5F) << "beside the panel";
                    }
                    for (std::int64_t column = 0; column < panel_columns; ++column) {
                        const float value = decode(format.element, code_at(k, column, round));
                        const unsigned scale_code = scaled ? scale_at(k / group, column, round) : 0;
                        if (is_wide(format.element, format.scale, scale_code)) {
                            continue;
                        }
                        const float want = scaled ? value * decode(format.scale, scale_code) : value;
                        const float got = out[static_cast<std::size_t>(k * stride + column)];
                        ASSERT_TRUE(same(got, want))
                            << family->name << ", format " << static_cast<int>(format.format) << ", code "
                            << code_at(k, column, round) << ", scale " << scale_code << ": " << got << ", not " << want;
                    }
                }
            }
        }
    }
}

/// Where element k of eight lies in lines of bf16, as pairs.
std::int64_t place_in_pairs(std::int64_t k, PairOrder order) {
    constexpr std::array<std::int64_t, 8> of_e2m1{0, 2, 4, 6, 1, 3, 5, 7};
    return order == PairOrder::consecutive ? k : k / 8 * 8 + of_e2m1[static_cast<std::size_t>(k % 8)];
}

/// A family's decoders for tiles, and what they make: bf16, or f32.
struct TileDecoders {
    const char* family;
    const Bf16Decoders* decoders;
    std::int64_t number_bytes;

    /// Number `index` of what was made.
    [[nodiscard]] float number(const std::vector<std::uint8_t>& made, std::int64_t index) const {
        const std::uint8_t* const at = made.data() + index * number_bytes;
        if (number_bytes == 4) {
            float value = 0.0F;
            std::memcpy(&value, at, sizeof value);
            return value;
        }
        std::uint16_t half = 0;
        std::memcpy(&half, at, sizeof half);
        return formats::Bf16::decode(half);
    }
    /// Of a panel's lines: pairs of bf16, or vectors of the first and the second of each pair.
    [[nodiscard]] float weight(const std::vector<std::uint8_t>& lines, std::int64_t place, std::int64_t column) const {
        return number(lines, number_bytes == 4 ? place * panel_columns + column
                                               : (place / 2 * panel_columns + column) * 2 + place % 2);
    }
};

/// None where the machine lacks AVX-512 VNNI or GFNI.
std::vector<TileDecoders> tile_decoders() {
    std::vector<TileDecoders> all;
    if (!test::emulated_families().empty()) {
        all.push_back({"emulated", test::emulated_families().front()->bf16, 2});
    }
    for (const KernelFamily* family : available_families()) {
        if (family->matrix != nullptr && family->matrix->w_line_bytes == 128) {
            all.push_back({family->name, family->bf16, 4});
        }
    }
    return all;
}

class CpuTileDecoders : public testing::Test {
protected:
    void SetUp() override {
        if (all_.empty()) {
            GTEST_SKIP() << "this machine lacks AVX-512 VNNI or GFNI, which what is around tiles needs";
        }
    }
    const std::vector<TileDecoders> all_ = tile_decoders();
};

void expect_every_line(const TileDecoders& made) {
    for (const PanelFormat& format : panel_formats) {
        const auto index = static_cast<std::size_t>(format.format);
        if (format.element == Element::i8 || (format.element == Element::bf16 && made.number_bytes == 2)) {
            ASSERT_EQ(made.decoders->panel[index], nullptr);
            continue;
        }
        const PairOrder order = format.element == Element::e2m1 ? PairOrder::of_e2m1 : PairOrder::consecutive;
        const std::int64_t group = group_sizes[static_cast<std::size_t>(format.scale)];
        const unsigned codes = format.element == Element::bf16 ? 65536 : format.element == Element::e2m1 ? 16 : 256;
        const bool scaled = format.scale != GroupScale::none;
        std::vector<std::uint8_t> elements(static_cast<std::size_t>(k_block * panel_columns * 2));
        std::vector<std::uint8_t> scales(static_cast<std::size_t>(8 * panel_columns));
        std::vector<std::uint8_t> lines(static_cast<std::size_t>(k_block * panel_columns * made.number_bytes));
        const auto code_at = [&](std::int64_t k, std::int64_t column, std::int64_t round) {
            const std::int64_t code = codes > 256
                                          ? k + k_block * (column + panel_columns * round)  // of bf16, to see all
                                          : k + 31 * column + 37 * round;
            return static_cast<unsigned>(code) % codes;
        };
        const OrdinaryScales ordinary =
            format.scale == GroupScale::ue8m0 ? OrdinaryScales::of_tiles() : OrdinaryScales{0, 255, true};
        const unsigned scale_codes = scaled ? static_cast<unsigned>(ordinary.last - ordinary.first) + 1U : 1U;
        std::vector<bool> seen(static_cast<std::size_t>(codes) * scale_codes);
        for (std::int64_t round = 0; round < 512; ++round) {
            const auto scale_at = [&](std::int64_t g, std::int64_t column) {
                return scaled ? ordinary.first + static_cast<unsigned>(round + 7 * g + 3 * column) % scale_codes : 0U;
            };
            for (std::int64_t column = 0; column < panel_columns; ++column) {
                for (std::int64_t k = 0; k < k_block; ++k) {
                    put(format.element, elements, k, column, code_at(k, column, round));
                }
                for (std::int64_t g = 0; scaled && g < k_block / group; ++g) {
                    scales[static_cast<std::size_t>(g * panel_columns + column)] =
                        static_cast<std::uint8_t>(scale_at(g, column));
                }
            }
            ASSERT_TRUE(made.decoders->panel[index](elements.data(), scales.data(), k_block, 0, lines.data()));
            for (std::int64_t column = 0; column < panel_columns; ++column) {
                for (std::int64_t k = 0; k < k_block; ++k) {
                    const unsigned code = code_at(k, column, round);
                    const unsigned scale_code = scale_at(k / group, column);
                    const float value = decode(format.element, code);
                    const float want = scaled ? value * decode(format.scale, scale_code) : value;
                    ASSERT_TRUE(same(made.weight(lines, place_in_pairs(k, order), column), want))
                        << made.family << ", format " << index << ", code " << code << ", scale " << scale_code;
                    seen[code * scale_codes + (scaled ? scale_code - ordinary.first : 0U)] = true;
                }
            }
        }
        EXPECT_EQ(std::count(seen.begin(), seen.end(), false), 0) << made.family << ", format " << index;
    }
}

TEST_F(CpuTileDecoders, LinesOfEveryElementCodeAndScale) {
    for (const TileDecoders& made : all_) {
        expect_every_line(made);
        ASSERT_FALSE(HasFailure());
    }
}

TEST_F(CpuTileDecoders, LinesAreRefusedWhereAScaleIsNotOfTiles) {
    std::vector<std::pair<TileDecoders, WeightFormat>> made_formats;
    for (const TileDecoders& made : all_) {
        for (const WeightFormat format :
             {WeightFormat::e4m3_ue8m0, WeightFormat::e5m2_ue8m0, WeightFormat::e2m1_ue8m0}) {
            made_formats.emplace_back(made, format);
        }
    }
    for (const auto& pair : made_formats) {
        const TileDecoders& made = pair.first;
        const WeightFormat format = pair.second;
        const std::vector<std::uint8_t> elements(static_cast<std::size_t>(k_block * panel_columns));
        std::vector<std::uint8_t> lines(static_cast<std::size_t>(k_block * panel_columns * made.number_bytes));
        for (const std::int64_t depth : {std::int64_t{32}, std::int64_t{96}, k_block}) {
            // What follows the last group is not looked at.
            const std::int64_t count = depth / 32 * panel_columns;
            std::vector<std::uint8_t> scales(static_cast<std::size_t>(4 * panel_columns), 255);
            std::fill_n(scales.begin(), count, std::uint8_t{127});
            const auto decode = [&] {
                return made.decoders->panel[static_cast<std::size_t>(format)](elements.data(), scales.data(), depth, 0,
                                                                              lines.data());
            };
            EXPECT_TRUE(decode());
            for (std::int64_t at = 0; at < count; ++at) {
                for (unsigned code = 0; code < 256; ++code) {
                    scales[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(code);
                    EXPECT_EQ(decode(), OrdinaryScales::of_tiles().has(static_cast<std::uint8_t>(code))) << code;
                }
                scales[static_cast<std::size_t>(at)] = 127;
            }
        }
    }
}

void expect_every_row(const TileDecoders& made) {
    for (const Element element : {Element::bf16, Element::e4m3, Element::e5m2, Element::e2m1}) {
        const std::int64_t bits = element_bits[static_cast<std::size_t>(element)];
        const unsigned codes = element == Element::bf16 ? 65536 : element == Element::e2m1 ? 16 : 256;
        unsigned next = 0;
        for (std::int64_t round = 0; round < 600; ++round) {
            const PairOrder order = round % 2 == 0 ? PairOrder::consecutive : PairOrder::of_e2m1;
            const int group_shift = round % 3 == 0 ? 4 : 5;
            const bool scaled = round % 5 != 0;
            // Any length without scales, whole groups with them; at the very end of its memory.
            const std::int64_t even = element == Element::e2m1 ? 2 : 1;
            const std::int64_t length = scaled ? ((round % (k_block >> group_shift)) + 1) << group_shift
                                               : (round % k_block) / even * even + even;
            std::vector<unsigned> code(static_cast<std::size_t>(length));
            std::vector<std::uint8_t> bytes(static_cast<std::size_t>(length * bits / 8));
            for (std::int64_t k = 0; k < length; ++k) {
                const auto at = static_cast<std::size_t>(k);
                code[at] = (next += element == Element::bf16 ? 13 : 1) % codes;
                if (element == Element::bf16) {
                    bytes[2 * at] = static_cast<std::uint8_t>(code[at]);
                    bytes[2 * at + 1] = static_cast<std::uint8_t>(code[at] >> 8);
                } else if (element == Element::e2m1) {
                    bytes[at / 2] = static_cast<std::uint8_t>(bytes[at / 2] | code[at] << (at % 2 * 4));
                } else {
                    bytes[at] = static_cast<std::uint8_t>(code[at]);
                }
            }
            std::vector<float> scales;
            for (std::int64_t g = 0; g < length >> group_shift; ++g) {
                scales.push_back(std::ldexp(1.0F, static_cast<int>((round + 3 * g) % 101) - 50));
            }
            const std::int64_t stride = round % 2 == 0 ? 32 : 512;
            std::vector<std::uint8_t> out(static_cast<std::size_t>(std::int64_t{4} * 512 * made.number_bytes), 0xEE);
            made.decoders->row[static_cast<std::size_t>(element)](bytes.data(), length,
                                                                  scaled ? scales.data() : nullptr, group_shift, order,
                                                                  stride * made.number_bytes, out.data());
            for (std::int64_t k = 0; k < (length + 63) / 64 * 64; ++k) {
                float want = 0.0F;
                if (k < length) {
                    want = decode(element, code[static_cast<std::size_t>(k)]);
                    want *= scaled ? scales[static_cast<std::size_t>(k >> group_shift)] : 1.0F;
                }
                // bf16 has no scales in any variant; its extreme numbers would leave f32 with them.
                if (element == Element::bf16 && scaled) {
                    continue;
                }
                const std::int64_t place = place_in_pairs(k, order);
                ASSERT_TRUE(same(made.number(out, place / 32 * stride + place % 32), want))
                    << made.family << ", element " << static_cast<int>(element) << ", k " << k << " of " << length;
            }
        }
    }
}

TEST_F(CpuTileDecoders, RowsOfEveryElementCodeAndScale) {
    for (const TileDecoders& made : all_) {
        expect_every_row(made);
        ASSERT_FALSE(HasFailure());
    }
}

/// What a packed column is unpacked to is what was put there.
TEST(CpuDecoders, UnpackedColumns) {
    for (const Element element : {Element::e4m3, Element::e5m2, Element::e2m1}) {
        const bool half = element == Element::e2m1;
        std::vector<std::uint8_t> elements(static_cast<std::size_t>(k_block * panel_columns));
        const auto code_at = [half](std::int64_t k, std::int64_t column) {
            return static_cast<unsigned>(k * 7 + column * 5 + k * column) % (half ? 16U : 256U);
        };
        for (std::int64_t column = 0; column < panel_columns; ++column) {
            for (std::int64_t k = 0; k < k_block; ++k) {
                put(element, elements, k, column, code_at(k, column));
            }
        }
        for (std::int64_t column = 0; column < panel_columns; ++column) {
            for (const std::int64_t depth : {std::int64_t{2}, std::int64_t{32}, std::int64_t{100}, k_block}) {
                std::vector<std::uint8_t> out(k_block, 0xEE);
                unpack_column(element, elements.data(), column, depth, out.data());
                for (std::int64_t k = 0; k < depth; ++k) {
                    const std::uint8_t byte = out[static_cast<std::size_t>(half ? k / 2 : k)];
                    ASSERT_EQ(half ? (byte >> (k % 2 * 4)) & 0xFU : byte, code_at(k, column));
                }
                const auto end = static_cast<std::size_t>(half ? depth / 2 : depth);
                ASSERT_TRUE(std::all_of(out.begin() + static_cast<std::ptrdiff_t>(end), out.end(),
                                        [](std::uint8_t byte) { return byte == 0xEE; }));
            }
        }
    }
}

/// Numbers that any order of sums may get wrong: random bytes of a format, none of them NaN or infinite.
std::vector<std::uint8_t> random_elements(Element element, std::size_t bytes, std::mt19937& random) {
    std::vector<std::uint8_t> elements(bytes);
    for (std::uint8_t& byte : elements) {
        byte = static_cast<std::uint8_t>(random() % 0x78U | (random() & 0x80U));
        byte = element == Element::bf16 ? byte & 0xBFU : byte;
    }
    return elements;
}

/// Panels' sums made from their bytes are those of the decoded panels, bit for bit, for each number of rows.
TEST(CpuDecoders, SumsFromPackedPanelsAreThoseOfDecodedOnes) {
    std::mt19937 random(12345);
    for (const KernelFamily* family : available_families()) {
        const FloatKernels& kernels = *family->f32;
        const std::int64_t tile_panels = kernels.tile_columns / panel_columns;
        for (const PanelFormat& format : panel_formats) {
            const auto index = static_cast<std::size_t>(format.format);
            constexpr std::int64_t stride = k_block * panel_columns * 2 + 192;
            for (std::int64_t rows = 1; rows <= kernels.direct_rows[index]; ++rows) {
                const auto elements =
                    random_elements(format.element, static_cast<std::size_t>(group_panels * stride), random);
                std::vector<std::uint8_t> scales(static_cast<std::size_t>(group_panels * stride));
                for (std::uint8_t& byte : scales) {
                    byte = static_cast<std::uint8_t>(format.scale == GroupScale::ue8m0 ? 110 + random() % 30
                                                                                       : random() % 0x7F);
                }
                std::vector<float> a(static_cast<std::size_t>(rows * k_block));
                for (float& value : a) {
                    value = static_cast<float>(random() % 2001) / 100.0F - 10.0F;
                }
                for (const auto& [depth, panels] :
                     {std::pair<std::int64_t, std::int64_t>{32, 2}, {96, 4}, {k_block, 4}}) {
                    const auto size = static_cast<std::size_t>(rows * panels * panel_columns);
                    const std::int64_t tile_size = rows * kernels.tile_columns;
                    const std::vector<RowFactor> factors(static_cast<std::size_t>(rows), {0.75F, 2.0F});
                    std::vector<float> direct(size, 1.5F);
                    std::vector<float> through_tiles(size, 1.5F);
                    std::vector<float> tile(static_cast<std::size_t>(k_block * kernels.tile_columns));
                    for (const Combine combine : {Combine::store, Combine::add, Combine::add_scaled}) {
                        kernels.panel_sums[index]({a.data(),
                                                   rows,
                                                   depth,
                                                   {scales.data(), elements.data(), stride, panels},
                                                   direct.data(),
                                                   tile_size,
                                                   factors.data(),
                                                   combine});
                        for (std::int64_t first = 0; first < panels; first += tile_panels) {
                            for (std::int64_t p = 0; p < tile_panels; ++p) {
                                kernels.decode_panel[index](elements.data() + (first + p) * stride,
                                                            scales.data() + (first + p) * stride, depth,
                                                            tile.data() + p * panel_columns, kernels.tile_columns);
                            }
                            kernels.tile_sums({a.data(), tile.data(), rows, depth,
                                               through_tiles.data() + first / tile_panels * tile_size, factors.data(),
                                               combine, elements.data(), 0, 0});
                        }
                        ASSERT_EQ(std::memcmp(direct.data(), through_tiles.data(), size * sizeof(float)), 0)
                            << family->name << ", format " << index << ", " << rows << " rows, depth " << depth;
                    }
                }
            }
        }
    }
}

/// Sums of int8 are exact, also where those of A + 128 leave int32 on the way.
TEST(CpuInt8Sums, AreExact) {
    std::mt19937 random(777);
    bool tested = false;
    for (const KernelFamily* family : available_families()) {
        if (family->int8 == nullptr) {
            continue;
        }
        tested = true;
        const std::int64_t tile_columns = family->f32->tile_columns;
        constexpr std::int64_t stride = int8_k_block * panel_columns + 64;
        for (std::int64_t rows = 1; rows <= 40; ++rows) {
            for (const auto& [lines, panels] :
                 {std::pair<std::int64_t, std::int64_t>{1, 2}, {7, 4}, {32, 2}, {128, 4}}) {
                std::vector<std::uint8_t> elements(static_cast<std::size_t>(panels * stride));
                std::vector<std::uint8_t> a(static_cast<std::size_t>(rows * int8_k_block));
                const bool extreme = rows % 3 == 0;
                for (std::uint8_t& byte : elements) {
                    byte = static_cast<std::uint8_t>(extreme ? (random() % 2 == 0 ? 0x80 : 0x7F) : random());
                }
                for (std::uint8_t& byte : a) {
                    byte = static_cast<std::uint8_t>(extreme ? (random() % 2 == 0 ? 0x00 : 0xFF) : random());
                }
                std::vector<std::uint8_t> given = a;
                if (family->int8->a_bytes == 2) {
                    given.clear();
                    for (std::size_t k = 0; k < a.size(); ++k) {
                        const std::size_t from = k / 4 * 4 + (k % 4 == 1 ? 2 : k % 4 == 2 ? 1 : k % 4);
                        const auto number = static_cast<std::uint16_t>(a[from] - 128);
                        given.push_back(static_cast<std::uint8_t>(number & 0xFFU));
                        given.push_back(static_cast<std::uint8_t>(number >> 8U));
                    }
                }
                // What is there already reaches up to where int32 ends.
                std::vector<std::int32_t> c(static_cast<std::size_t>(rows * panels * panel_columns));
                for (std::int32_t& sum : c) {
                    sum = static_cast<std::int32_t>(random() % 2000000000U) - 1000000000;
                }
                const std::vector<std::int32_t> before = c;
                const std::int64_t c_tile = rows * tile_columns;
                const cpu::Int8Call int8_call{given.data(),
                                              rows,
                                              lines,
                                              {nullptr, elements.data(), stride, panels},
                                              0,
                                              c.data(),
                                              c_tile,
                                              family->reading.times_asked};
                if (family->int8->take_off != nullptr) {
                    family->int8->take_off(int8_call);
                }
                family->int8->sums(int8_call);
                for (std::int64_t i = 0; i < rows; ++i) {
                    for (std::int64_t column = 0; column < panels * panel_columns; ++column) {
                        const auto at = static_cast<std::size_t>(column / tile_columns * c_tile + i * tile_columns +
                                                                 column % tile_columns);
                        std::int64_t want = before[at];
                        for (std::int64_t k = 0; k < 4 * lines; ++k) {
                            const std::int64_t byte = column / panel_columns * stride + k / 4 * line_bytes +
                                                      column % panel_columns * 4 + k % 4;
                            want +=
                                (static_cast<std::int64_t>(a[static_cast<std::size_t>(i * int8_k_block + k)]) - 128) *
                                static_cast<std::int8_t>(elements[static_cast<std::size_t>(byte)]);
                        }
                        ASSERT_EQ(c[at], want) << family->name << ", " << rows << " rows, " << lines << " lines";
                    }
                }
            }
        }
    }
    if (!tested) {
        GTEST_SKIP() << "this machine has no dot product of int8";
    }
}

}  // namespace
}  // namespace moegemm::cpu
