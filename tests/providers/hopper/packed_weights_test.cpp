// Packed weights: where values and scales lie, and that taking them apart gives back every code and scale.
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/error.hpp>
#include <moegemm/formats/formats.hpp>

#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/packed_weights.hpp"
#include "providers/hopper/kernels/weight_decode.hpp"
#include "providers/hopper/packed_parts.hpp"

namespace moegemm::hopper {
namespace {

using formats::Bf16;
using formats::E2m1;
using formats::E4m3;
using formats::E5m2;
using formats::Ue4m3;
using formats::Ue8m0;

constexpr std::array all_formats{WeightFormat::e2m1_ue8m0, WeightFormat::e2m1_ue4m3, WeightFormat::e4m3_ue8m0};

/// Exactly, as multiply_pairs on the device does: every product that is tested is a bf16.
double product(std::uint32_t decoded, std::uint32_t factors, int half) {
    const auto code = [half](std::uint32_t pair) { return static_cast<std::uint16_t>(pair >> (16 * half)); };
    return static_cast<double>(Bf16::decode(code(decoded))) * static_cast<double>(Bf16::decode(code(factors)));
}

bool is_bf16(double value) {
    const auto single = static_cast<float>(value);
    return static_cast<double>(single) == value && (formats::float_bits(single) & 0xFFFFU) == 0;
}

TEST(HopperPackedE2m1, EveryCodeComesBackFromEveryPlace) {
    for (int reg = 0; reg < 4; ++reg) {
        for (int half = 0; half < 2; ++half) {
            for (std::uint32_t code = 0; code < 16; ++code) {
                for (const std::uint8_t others : {std::uint8_t{0}, std::uint8_t{15}}) {
                    std::uint8_t codes[4][2];
                    for (auto& pair : codes) {
                        pair[0] = pair[1] = others;
                    }
                    codes[reg][half] = static_cast<std::uint8_t>(code);
                    const std::uint32_t word = e2m1_word(codes);
                    const std::array registers{e2m1_register<0>(word), e2m1_register<1>(word), e2m1_register<2>(word),
                                               e2m1_register<3>(word)};
                    for (int r = 0; r < 4; ++r) {
                        for (int h = 0; h < 2; ++h) {
                            const float expected = E2m1::decode(codes[r][h]) * 0x1p-126F;
                            const float found = Bf16::decode(
                                static_cast<std::uint16_t>(registers[static_cast<std::size_t>(r)] >> (16 * h)));
                            ASSERT_EQ(formats::float_bits(found), formats::float_bits(expected))
                                << "register " << r << ", half " << h << ", code " << code;
                        }
                    }
                }
            }
        }
    }
}

TEST(HopperPackedE4m3, EveryCodeComesBackFromEveryPlace) {
    for (int place = 0; place < 4; ++place) {
        for (std::uint32_t code = 0; code < 256; ++code) {
            if ((code & 127U) == 127U) {
                continue;  // NaN: the row's factor has it
            }
            for (const std::uint8_t others : {std::uint8_t{0}, std::uint8_t{0xFE}}) {
                std::uint8_t codes[2][2]{{others, others}, {others, others}};
                codes[place / 2][place % 2] = static_cast<std::uint8_t>(code);
                const std::uint32_t word = e4m3_word(codes);
                const std::array registers{e4m3_register<false>(word), e4m3_register<true>(word)};
                for (int r = 0; r < 2; ++r) {
                    for (int h = 0; h < 2; ++h) {
                        const float expected = E4m3::decode(codes[r][h]) * 0x1p-120F;
                        const float found = Bf16::decode(
                            static_cast<std::uint16_t>(registers[static_cast<std::size_t>(r)] >> (16 * h)));
                        ASSERT_EQ(formats::float_bits(found), formats::float_bits(expected)) << code;
                    }
                }
            }
        }
    }
}

/// Every scale of a row whose largest is any other one: factors undo what decoding leaves out, less the row's base.
void expect_ue8m0_factors(int left_out, float smallest, float largest) {
    for (int most = 0; most < 255; ++most) {
        const int base = row_base(most, left_out);
        ASSERT_LE(base, 127) << "the row's factor is an f32";
        for (int code = 0; code <= most; ++code) {
            const std::uint32_t packed = packed_ue8m0(code, base, left_out);
            ASSERT_LE(packed, 254U);
            const std::uint32_t factors = ue8m0_factors(packed | packed << 16);
            for (const float value : {smallest, largest}) {
                const double wanted = std::ldexp(static_cast<double>(value), code - 127 - base);
                const float decoded = std::ldexp(value, -left_out);
                const std::uint32_t pair = formats::float_bits(decoded) >> 16;
                for (int half = 0; half < 2; ++half) {
                    const double found = product(pair | pair << 16, factors, half);
                    if (packed == 0) {
                        ASSERT_EQ(found, 0.0);
                        // So much below the row's largest scale that bf16 has no room for both.
                        ASSERT_GE(most - code, 254);
                    } else {
                        ASSERT_EQ(found, wanted) << "code " << code << " below " << most;
                    }
                }
            }
        }
    }
}

TEST(HopperPackedScales, EveryUe8m0CodeBelowEveryLargest) {
    expect_ue8m0_factors(ScaleCode::e2m1_exponent, 0.5F, 6.0F);
    expect_ue8m0_factors(ScaleCode::e4m3_exponent, 0x1p-9F, 448.0F);
}

TEST(HopperPackedScales, EveryUe4m3CodeTimesEveryValueIsExact) {
    for (int code = 1; code < 127; ++code) {
        const std::uint32_t packed = packed_ue4m3(code);
        const std::uint32_t factors = ue4m3_factors(packed | packed << 16);
        for (std::uint32_t value = 0; value < 16; ++value) {
            std::uint8_t codes[4][2];
            for (auto& pair : codes) {
                pair[0] = pair[1] = static_cast<std::uint8_t>(value);
            }
            const double wanted = static_cast<double>(E2m1::decode(static_cast<std::uint8_t>(value))) *
                                  static_cast<double>(Ue4m3::decode(static_cast<std::uint8_t>(code))) * 0x1p-9;
            for (int half = 0; half < 2; ++half) {
                const double found = product(e2m1_register<0>(e2m1_word(codes)), factors, half);
                ASSERT_EQ(found, wanted) << "scale " << code << ", value " << value;
                ASSERT_TRUE(is_bf16(found));
            }
        }
    }
}

TEST(HopperLogic, OfThreeWords) {
    constexpr std::uint32_t a = 0xF0F0F0F0U;
    constexpr std::uint32_t b = 0xCCCCCCCCU;
    constexpr std::uint32_t c = 0xAAAAAAAAU;
    static_assert(lop3<0xCA>(a, b, c) == ((a & b) | (~a & c)));
    static_assert(select_bits(a, b, c) == ((a & b) | (~a & c)));
    static_assert(with_bits(a, b, c) == (a | (b & c)));
    static_assert(byte_perm(0x33221100U, 0x77665544U, 0x7531U) == 0x77553311U);
}

TEST(HopperRebased, ScalesAsFarApartAsEachSideTakes) {
    for (const int span : {Rebased::e5m2_span, Rebased::activation_span}) {
        EXPECT_TRUE(Rebased::has(100, 100 + span, span));
        EXPECT_FALSE(Rebased::has(100, 100 + span + 1, span));
        EXPECT_FALSE(Rebased::has(Rebased::least - 1, Rebased::least, span));
        EXPECT_FALSE(Rebased::has(Rebased::most, Rebased::most + 1, span));
    }
}

TEST(HopperRebased, EveryWeightBelowEveryTopIsItsE5m2) {
    for (int most = Rebased::least; most <= Rebased::most; ++most) {
        const int base = row_base(most, ScaleCode::e2m1_exponent);
        const auto factor = static_cast<std::uint32_t>(most - Rebased::e5m2_top) << 23;
        const std::uint32_t offset_base = scale_offset_base(factor);
        for (int span = 0; span <= Rebased::e5m2_span && most - span >= Rebased::least; ++span) {
            const std::uint32_t stored = packed_ue8m0(most - span, base, ScaleCode::e2m1_exponent);
            ASSERT_GT(stored, offset_base) << "subtracting bytes never borrows";
            const std::uint32_t offset = stored - offset_base;
            for (std::uint32_t which = 0; which < 4; ++which) {
                const E5m2Magnitudes table = e5m2_magnitudes(offset << (8 * which), which);
                for (std::uint32_t code = 0; code < 8; ++code) {
                    const std::uint32_t found = byte_perm(table.low, table.high, code) & 0xFFU;
                    const double wanted = std::ldexp(static_cast<double>(E2m1::decode(static_cast<std::uint8_t>(code))),
                                                     most - span - 127);
                    const auto value = static_cast<double>(E5m2::decode(static_cast<std::uint8_t>(found)));
                    ASSERT_EQ(value * static_cast<double>(formats::bits_float(factor)), wanted)
                        << "value " << code << ", scale " << most - span << " below " << most;
                }
            }
        }
    }
    EXPECT_EQ(scale_offset_base(0x7FC00000U), 0U) << "a row of NaN must not borrow from its neighbour";
}

TEST(HopperRebased, LoweringFactorsAreTheirPowersOfTwo) {
    for (std::uint32_t binades = 0; binades < 256; ++binades) {
        const std::uint32_t pair = lowering_factors(binades);
        EXPECT_EQ(pair & 0xFFFFU, pair >> 16);
        const float wanted = binades < 25 ? std::ldexp(1.0F, -static_cast<int>(binades)) : 0.0F;
        EXPECT_EQ(formats::F16::decode(static_cast<std::uint16_t>(pair)), wanted) << binades;
    }
}

TEST(HopperRebased, EveryWeightComesFromEveryPlaceOfAWord) {
    // Tables of two rows that differ in every magnitude.
    const E5m2Magnitudes first = e5m2_magnitudes(1, 0);
    const E5m2Magnitudes second = e5m2_magnitudes(20, 0);
    for (int reg = 0; reg < 4; ++reg) {
        for (int half = 0; half < 2; ++half) {
            for (std::uint32_t code = 0; code < 16; ++code) {
                for (const std::uint8_t others : {std::uint8_t{0}, std::uint8_t{5}, std::uint8_t{15}}) {
                    std::uint8_t codes[4][2];
                    for (auto& pair : codes) {
                        pair[0] = pair[1] = others;
                    }
                    codes[reg][half] = static_cast<std::uint8_t>(code);
                    const E5m2Words words = e5m2_words(e2m1_word(codes), first, second);
                    for (int r = 0; r < 4; ++r) {
                        for (int h = 0; h < 2; ++h) {
                            const std::uint32_t word = r % 2 == 0 ? words.first : words.second;
                            const int place = h * 2 + r / 2;
                            const float found = E5m2::decode(static_cast<std::uint8_t>(word >> (8 * place)));
                            const float wanted = std::ldexp(E2m1::decode(codes[r][h]), (r % 2 == 0 ? 1 : 20) - 14);
                            ASSERT_EQ(formats::float_bits(found), formats::float_bits(wanted))
                                << "register " << r << ", half " << h << ", code " << code;
                        }
                    }
                }
            }
        }
    }
}

TEST(HopperRebased, EveryActivationBelowEveryTopByTable) {
    for (int span = 0; span <= Rebased::activation_span; ++span) {
        const std::uint64_t table = rebased_magnitudes(span);
        for (std::uint32_t code = 0; code < 16; ++code) {
            for (int place = 0; place < 4; ++place) {
                const std::uint32_t others = 0x9999U & ~(0xFU << (4 * place));
                const std::uint32_t found =
                    rebased_codes(others | code << (4 * place), static_cast<std::uint32_t>(table),
                                  static_cast<std::uint32_t>(table >> 32));
                const auto wanted = std::ldexp(static_cast<double>(E2m1::decode(static_cast<std::uint8_t>(code))),
                                               Rebased::activation_top - span);
                const int byte = place % 2 * 2 + place / 2;  // the first of each byte, then the second
                const float value = E4m3::decode(static_cast<std::uint8_t>(found >> (8 * byte)));
                ASSERT_EQ(static_cast<double>(value), wanted) << "code " << code << ", span " << span;
                ASSERT_EQ(std::signbit(value), std::signbit(wanted));
            }
        }
    }
}

TEST(HopperRebased, WeightsLieWhereActivationsOfTheSameKDo) {
    std::set<int> offsets;
    for (int warp = 0; warp < 4; ++warp) {
        for (int step = 0; step < WeightBlock::steps; ++step) {
            // stmatrix: matrix m gets its row r from lane 8·m + r, and 4 bytes of it from lane 4·r + c.
            std::set<int> banks;
            for (int row = 0; row < 8; ++row) {
                const int offset = decoded_offset(warp * 32 + step * 8 + row);
                banks.insert(offset % row_bytes);
                for (int c = 0; c < 4; ++c) {
                    for (int reg = 0; reg < 4; ++reg) {
                        for (int half = 0; half < 2; ++half) {
                            const FragmentPlace place = fragment_place(warp * 32 + row * 4 + c, step, reg, half);
                            ASSERT_EQ(place.row, warp * 16 + row + reg % 2 * 8);
                            ASSERT_EQ(place.k / 16, step);
                            const int byte = c * 4 + half * 2 + reg / 2;  // of e5m2_words
                            ASSERT_EQ(rebased_place(place.k % 16), byte);
                            const int at = offset + reg % 2 * 8 * row_bytes;
                            ASSERT_EQ(at, swizzled_offset(place.row, step));
                            ASSERT_TRUE(offsets.insert(at + byte).second);
                            // The block that is 64 further along K.
                            ASSERT_EQ(at ^ WeightBlock::depth, swizzled_offset(place.row, step + 4));
                        }
                    }
                }
            }
            EXPECT_EQ(banks.size(), 8U);
        }
    }
    EXPECT_EQ(offsets.size(), static_cast<std::size_t>(WeightBlock::rows * WeightBlock::depth));
}

TEST(HopperPackedBlock, EveryValueHasOneHolder) {
    std::vector<int> holders(static_cast<std::size_t>(WeightBlock::rows * WeightBlock::depth));
    for (int thread = 0; thread < warpgroup; ++thread) {
        for (int step = 0; step < WeightBlock::steps; ++step) {
            for (int reg = 0; reg < 4; ++reg) {
                for (int half = 0; half < 2; ++half) {
                    const FragmentPlace place = fragment_place(thread, step, reg, half);
                    ASSERT_TRUE(place.row >= 0 && place.row < WeightBlock::rows);
                    ASSERT_TRUE(place.k >= 0 && place.k < WeightBlock::depth);
                    ++holders[static_cast<std::size_t>(place.row * WeightBlock::depth + place.k)];
                    // The accumulators of the thread are of the same rows.
                    EXPECT_EQ(place.row, accumulator_row(thread, reg % 2 * 2));
                }
            }
        }
    }
    for (const int count : holders) {
        ASSERT_EQ(count, 1);
    }
}

TEST(HopperPackedBlock, PiecesFillItWithoutOverlap) {
    for (const WeightFormat format : all_formats) {
        const WeightBlock block = block_of(format);
        std::vector<int> used(static_cast<std::size_t>(block.bytes()));
        for (int thread = 0; thread < warpgroup; ++thread) {
            for (int piece = 0; piece < block.bits / 4; ++piece) {
                for (int byte = 0; byte < 16; ++byte) {
                    ++used.at(static_cast<std::size_t>(WeightBlock::value_offset(thread, piece) + byte));
                }
            }
        }
        for (int row = 0; row < WeightBlock::rows; ++row) {
            for (int group = 0; group < block.groups(); ++group) {
                ++used.at(static_cast<std::size_t>(block.scale_offset(row, group)));
            }
            // A thread's scales begin where its first row's do, and those of its second row lie between them.
            if (row % 16 < 8) {
                EXPECT_EQ(block.scale_offset(row, 0) % (2 * block.groups()), 0);
                for (int group = 0; group < block.groups(); ++group) {
                    EXPECT_EQ(block.scale_offset(row, group), block.scale_offset(row, 0) + 2 * group);
                    EXPECT_EQ(block.scale_offset(row + 8, group), block.scale_offset(row, group) + 1);
                }
            }
        }
        for (const int count : used) {
            ASSERT_EQ(count, 1);
        }
        EXPECT_EQ(block.bytes() % 16, 0) << "what bulk copies take";
    }
}

TEST(HopperPackedShape, BlocksOfABandLieTogetherDepthByDepth) {
    std::mt19937 random(1);
    for (int i = 0; i < 300; ++i) {
        const std::int64_t experts = std::uniform_int_distribution<std::int64_t>(1, 5)(random);
        const std::int64_t n = std::uniform_int_distribution<std::int64_t>(1, 1500)(random);
        const std::int64_t k = std::uniform_int_distribution<std::int64_t>(16, 1016)(random);
        const PackedShape shape = PackedShape::of(n, k);
        ASSERT_GE(shape.row_blocks * 64, n);
        ASSERT_LT((shape.row_blocks - 1) * 64, n);
        ASSERT_GE(shape.depths * 64, k);
        ASSERT_LT((shape.depths - 1) * 64, k);
        std::set<std::int64_t> seen;
        for (std::int64_t expert = 0; expert < experts; ++expert) {
            for (int row_block = 0; row_block < shape.row_blocks; ++row_block) {
                for (int depth = 0; depth < shape.depths; ++depth) {
                    const std::int64_t block = shape.block(expert, row_block, depth);
                    ASSERT_TRUE(block >= 0 && block < experts * shape.blocks());
                    ASSERT_TRUE(seen.insert(block).second);
                    if (row_block % band_blocks != 0) {
                        ASSERT_EQ(block, shape.block(expert, row_block - 1, depth) + 1);
                    }
                    if (depth > 0) {
                        ASSERT_EQ(block, shape.block(expert, row_block, depth - 1) + shape.band_height(row_block));
                    }
                }
            }
        }
    }
}

TEST(HopperPackedParts, TakeTwoPercentMoreThanTheContractsBytes) {
    for (const WeightFormat format : all_formats) {
        const WeightBlock block = block_of(format);
        for (const auto& [experts, n, k] : {std::array<std::int64_t, 3>{16, 2048, 4096},
                                            {32, 7168, 2048},
                                            {128, 5760, 2880},
                                            {128, 2880, 2880},
                                            {24, 4096, 7168}}) {
            const PackedParts parts = packed_parts(format, experts, n, k);
            const auto contract = static_cast<double>(experts * n * (k * block.bits / 8 + k / block.group));
            EXPECT_LE(static_cast<double>(parts.bytes), 1.02 * contract);
            EXPECT_EQ(parts.row_factors % 256, 0);
        }
    }
    EXPECT_THROW((void)packed_parts(WeightFormat::e4m3_ue8m0, std::int64_t{1} << 20, std::int64_t{1} << 30,
                                    std::int64_t{1} << 30),
                 Error);
}

TEST(HopperTransposedStores, EveryElementOfABufferIsWrittenOnce) {
    std::set<int> offsets;
    for (int warp = 0; warp < 4; ++warp) {
        for (int step = 0; step < 4; ++step) {
            for (int lane = 0; lane < 32; ++lane) {
                const int offset = stmatrix_transposed_offset(warp * 32 + lane, step);
                EXPECT_TRUE(offsets.insert(offset).second);
                // Lane l gives the row of matrix l / 8: of tokens, and of which eight columns.
                const int token = step * 16 + lane / 16 * 8 + lane % 8;
                const int piece = warp * 2 + lane / 8 % 2;
                EXPECT_EQ(offset, swizzled_offset(token, piece));
            }
        }
    }
    EXPECT_EQ(offsets.size(), 512U);
}

}  // namespace
}  // namespace moegemm::hopper
