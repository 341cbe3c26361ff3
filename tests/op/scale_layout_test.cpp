#include <moegemm/scale_layout.hpp>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "op/expect_error.hpp"
#include "op/host_case.hpp"

namespace moegemm {
namespace {

using test::throws_error;
using Bytes = std::vector<std::uint8_t>;

constexpr auto invalid = ErrorCode::invalid_argument;
constexpr std::array<ScaleLayout, 3> group_layouts{ScaleLayout::linear, ScaleLayout::swizzled_128x4,
                                                   ScaleLayout::swizzled_128x4_whole};

std::int64_t up(std::int64_t value, std::int64_t granule) {
    return (value / granule + (value % granule != 0)) * granule;
}

/// The contract's formula, from its text.
std::int64_t contract_offset(std::int64_t r, std::int64_t c, std::int64_t columns) {
    const std::int64_t tiles_across = up(columns, 4) / 4;
    return ((r / 128) * tiles_across + c / 4) * 512 + (r % 32) * 16 + ((r % 128) / 32) * 4 + (c % 4);
}

/// Non-zero, so that padding shows.
Bytes random_bytes(std::mt19937_64& random, std::int64_t size) {
    Bytes bytes(static_cast<std::size_t>(size));
    std::ranges::generate(bytes, [&] { return static_cast<std::uint8_t>(1 + random() % 255); });
    return bytes;
}

std::int64_t stored_rows(ScaleLayout layout, std::int64_t rows, std::int64_t experts) {
    switch (layout) {
        case ScaleLayout::linear:
            return rows;
        case ScaleLayout::swizzled_128x4:
            return (rows + 127 * experts) / 128 * 128;
        default:
            return up(rows, 128);
    }
}

std::int64_t stored_columns(ScaleLayout layout, std::int64_t columns) {
    return layout == ScaleLayout::linear ? columns : up(columns, 4);
}

TEST(ScaleLayout, SwizzledOffsetsAreABijectionIntoThePaddedMatrix) {
    for (const std::int64_t rows : {1, 31, 128, 129, 300}) {
        for (const std::int64_t columns : {1, 3, 4, 5, 12, 17}) {
            std::vector<int> hits(static_cast<std::size_t>(up(rows, 128) * up(columns, 4)));
            for (std::int64_t row = 0; row < up(rows, 128); ++row) {
                for (std::int64_t column = 0; column < up(columns, 4); ++column) {
                    const std::int64_t offset = scales::swizzled_offset(row, column, columns);
                    EXPECT_EQ(offset, contract_offset(row, column, columns));
                    ASSERT_GE(offset, 0);
                    ASSERT_LT(offset, static_cast<std::int64_t>(hits.size()));
                    ++hits[static_cast<std::size_t>(offset)];
                }
            }
            EXPECT_TRUE(std::ranges::all_of(hits, [](int count) { return count == 1; })) << rows << ' ' << columns;
        }
    }
}

TEST(ScaleLayout, SwizzledExpertsNeverOverlapAndFit) {
    std::mt19937_64 random(11);
    for (int round = 0; round < 500; ++round) {
        const auto experts = static_cast<std::int64_t>(1 + random() % 12);
        const auto m_indptr = test::random_m_indptr(random, experts, 400);
        std::int64_t end = 0;
        for (std::int64_t expert = 0; expert < experts; ++expert) {
            const std::int64_t first_row = m_indptr[static_cast<std::size_t>(expert)];
            const std::int64_t rows = m_indptr[static_cast<std::size_t>(expert) + 1] - first_row;
            const std::int64_t start = scales::swizzled_start_row(first_row, expert);
            EXPECT_EQ(start, 128 * ((first_row + 127 * expert) / 128));
            ASSERT_GE(start, end);
            end = start + up(rows, 128);
        }
        ASSERT_LE(end, scales::swizzled_total_rows(m_indptr.back(), experts));
    }
}

TEST(ScaleLayout, SwizzlesAndBack) {
    std::mt19937_64 random(5);
    for (const std::int64_t rows : {0, 1, 33, 128, 200}) {
        for (const std::int64_t columns : {1, 4, 6}) {
            const Bytes linear = random_bytes(random, rows * columns);
            Bytes swizzled = random_bytes(random, up(rows, 128) * up(columns, 4));
            swizzle_scales(linear, swizzled, rows, columns);
            std::size_t zeros = 0;
            for (std::int64_t row = 0; row < up(rows, 128); ++row) {
                for (std::int64_t column = 0; column < up(columns, 4); ++column) {
                    const bool inside = row < rows && column < columns;
                    const auto at = static_cast<std::size_t>(contract_offset(row, column, columns));
                    ASSERT_EQ(swizzled[at], inside ? linear[static_cast<std::size_t>(row * columns + column)] : 0);
                    zeros += inside ? 0 : 1;
                }
            }
            EXPECT_EQ(zeros, swizzled.size() - linear.size());
            Bytes back = random_bytes(random, rows * columns);
            unswizzle_scales(swizzled, back, rows, columns);
            EXPECT_EQ(back, linear);
        }
    }
}

TEST(ScaleLayout, TokenScalesGoThroughEveryPairOfLayouts) {
    std::mt19937_64 random(6);
    for (int round = 0; round < 40; ++round) {
        const auto experts = static_cast<std::int64_t>(1 + random() % 6);
        const auto columns = static_cast<std::int64_t>(1 + random() % 9);
        const auto m_indptr = test::random_m_indptr(random, experts, 200);
        const std::int64_t rows = m_indptr.back();
        const Bytes linear = random_bytes(random, rows * columns);
        const auto bytes_of = [&](ScaleLayout layout) {
            return random_bytes(random, stored_rows(layout, rows, experts) * stored_columns(layout, columns));
        };
        for (const ScaleLayout first : group_layouts) {
            Bytes source = bytes_of(first);
            convert_a_scales(ScaleLayout::linear, linear, first, source, m_indptr, columns);
            for (const ScaleLayout second : group_layouts) {
                Bytes target = bytes_of(second);
                convert_a_scales(first, source, second, target, m_indptr, columns);
                EXPECT_EQ(std::ranges::count_if(target, [](std::uint8_t byte) { return byte != 0; }), rows * columns);
                Bytes back = bytes_of(ScaleLayout::linear);
                convert_a_scales(second, target, ScaleLayout::linear, back, m_indptr, columns);
                EXPECT_EQ(back, linear) << to_string(first) << ' ' << to_string(second);
            }
        }
    }
}

TEST(ScaleLayout, TokenScalesOfAnExpertStartAtItsOwnTile) {
    std::mt19937_64 random(8);
    const std::vector<std::int32_t> m_indptr{0, 5, 5, 140, 141};
    const std::int64_t columns = 5;
    const Bytes linear = random_bytes(random, 141 * columns);
    Bytes swizzled(static_cast<std::size_t>((141 + 4 * 127) / 128 * 128 * 8));
    convert_a_scales(ScaleLayout::linear, linear, ScaleLayout::swizzled_128x4, swizzled, m_indptr, columns);
    Bytes whole(256 * 8);
    convert_a_scales(ScaleLayout::linear, linear, ScaleLayout::swizzled_128x4_whole, whole, m_indptr, columns);
    const std::array<std::int64_t, 4> starts{0, 128, 256, 512};  // 128·⌊(m_indptr[e] + 127·e)/128⌋
    for (std::size_t expert = 0; expert < 4; ++expert) {
        for (std::int64_t row = m_indptr[expert]; row < m_indptr[expert + 1]; ++row) {
            for (std::int64_t column = 0; column < columns; ++column) {
                const std::uint8_t expected = linear[static_cast<std::size_t>(row * columns + column)];
                const std::int64_t local = row - m_indptr[expert];
                EXPECT_EQ(
                    swizzled[static_cast<std::size_t>(starts[expert] * 8 + contract_offset(local, column, columns))],
                    expected);
                EXPECT_EQ(whole[static_cast<std::size_t>(contract_offset(row, column, columns))], expected);
            }
        }
    }
}

TEST(ScaleLayout, WeightScalesGoThroughEveryPairOfLayouts) {
    std::mt19937_64 random(7);
    for (const std::int64_t rows : {1, 130, 256}) {
        for (const std::int64_t columns : {1, 7}) {
            const Bytes linear = random_bytes(random, 3 * rows * columns);
            for (const ScaleLayout layout : group_layouts) {
                Bytes stored = random_bytes(
                    random, layout == ScaleLayout::linear ? 3 * rows * columns : 3 * up(rows, 128) * up(columns, 4));
                convert_w_scales(ScaleLayout::linear, linear, layout, stored, 3, rows, columns);
                const std::int64_t stride = static_cast<std::int64_t>(stored.size()) / 3;
                for (std::int64_t expert = 0; expert < 3 && layout != ScaleLayout::linear; ++expert) {
                    EXPECT_EQ(stored[static_cast<std::size_t>(expert * stride +
                                                              contract_offset(rows - 1, columns - 1, columns))],
                              linear[static_cast<std::size_t>((expert + 1) * rows * columns - 1)]);
                }
                Bytes back = random_bytes(random, 3 * rows * columns);
                convert_w_scales(layout, stored, ScaleLayout::linear, back, 3, rows, columns);
                EXPECT_EQ(back, linear);
            }
        }
    }
}

TEST(ScaleLayout, IndexOfBlockScales) {
    // A (C, R) and (R, C); W (E, C, N') and (E, N', C).
    EXPECT_EQ(scales::a_scale_index(ScaleLayout::mn_major, 7, 2, 1, 5, 11, 3), 2 * 11 + 7);
    EXPECT_EQ(scales::a_scale_index(ScaleLayout::k_major, 7, 2, 1, 5, 11, 3), 7 * 3 + 2);
    EXPECT_EQ(scales::w_scale_index(ScaleLayout::mn_major, 2, 1, 4, 3, 5), (2 * 5 + 4) * 3 + 1);
    EXPECT_EQ(scales::w_scale_index(ScaleLayout::k_major, 2, 1, 4, 3, 5), (2 * 3 + 1) * 5 + 4);
}

/// Spans of a conversion, whose target must stay as it is where anything is wrong.
class ScaleLayoutBadInput : public testing::Test {
protected:
    Bytes linear_ = Bytes(10 * 3, 1);
    Bytes swizzled_ = Bytes(128 * 4, 0xA5);

    [[nodiscard]] bool untouched() const {
        return std::ranges::all_of(swizzled_, [](std::uint8_t byte) { return byte == 0xA5; });
    }
};

TEST_F(ScaleLayoutBadInput, LinearSize) {
    linear_.pop_back();
    EXPECT_TRUE(
        throws_error(invalid, "linear", "29 bytes", "30 bytes", [&] { swizzle_scales(linear_, swizzled_, 10, 3); }));
    EXPECT_TRUE(untouched());
}

TEST_F(ScaleLayoutBadInput, SwizzledSize) {
    EXPECT_TRUE(throws_error(invalid, "swizzled", "512 bytes", "1024 bytes",
                             [&] { swizzle_scales(Bytes(129 * 3), swizzled_, 129, 3); }));
    EXPECT_TRUE(throws_error(invalid, "swizzled", "512 bytes", "1024 bytes",
                             [&] { unswizzle_scales(swizzled_, linear_, 129, 3); }));
    EXPECT_TRUE(untouched());
}

TEST_F(ScaleLayoutBadInput, NegativeRows) {
    EXPECT_TRUE(throws_error(invalid, "rows", "-1", "at least 0", [&] { swizzle_scales({}, {}, -1, 3); }));
}

TEST_F(ScaleLayoutBadInput, SizesThatOverflow) {
    constexpr std::int64_t huge = std::int64_t{1} << 62;
    EXPECT_TRUE(
        throws_error(ErrorCode::overflow, "rows * columns", "*", "2^63", [&] { swizzle_scales({}, {}, huge, 3); }));
    EXPECT_TRUE(throws_error(ErrorCode::overflow, "experts * rows * columns", "*", "2^63", [&] {
        convert_w_scales(ScaleLayout::linear, {}, ScaleLayout::swizzled_128x4, {}, huge, 1, 3);
    }));
}

TEST_F(ScaleLayoutBadInput, LayoutOfBlockScales) {
    const std::vector<std::int32_t> m_indptr{0, 10};
    EXPECT_TRUE(throws_error(invalid, "from", "mn_major", "linear, swizzled_128x4, swizzled_128x4_whole", [&] {
        convert_a_scales(ScaleLayout::mn_major, linear_, ScaleLayout::swizzled_128x4, swizzled_, m_indptr, 3);
    }));
    EXPECT_TRUE(throws_error(invalid, "to", "none", "linear", [&] {
        convert_w_scales(ScaleLayout::linear, linear_, ScaleLayout::none, swizzled_, 1, 10, 3);
    }));
    EXPECT_TRUE(untouched());
}

TEST_F(ScaleLayoutBadInput, RowOffsets) {
    const std::vector<std::int32_t> decreasing{0, 12, 10};
    EXPECT_TRUE(throws_error(invalid, "m_indptr", "10 at entry 2", "at least entry 1", [&] {
        convert_a_scales(ScaleLayout::linear, linear_, ScaleLayout::swizzled_128x4, swizzled_, decreasing, 3);
    }));
    EXPECT_TRUE(throws_error(invalid, "m_indptr", "0 entries", "one entry more", [&] {
        convert_a_scales(ScaleLayout::linear, linear_, ScaleLayout::swizzled_128x4, swizzled_, {}, 3);
    }));
    EXPECT_TRUE(untouched());
}

TEST_F(ScaleLayoutBadInput, SourceAndTargetSize) {
    const std::vector<std::int32_t> m_indptr{0, 10};
    EXPECT_TRUE(throws_error(invalid, "source", "30 bytes", "40 bytes", [&] {
        convert_a_scales(ScaleLayout::linear, linear_, ScaleLayout::swizzled_128x4, swizzled_, m_indptr, 4);
    }));
    swizzled_.push_back(0xA5);
    EXPECT_TRUE(throws_error(invalid, "target", "513 bytes", "512 bytes", [&] {
        convert_a_scales(ScaleLayout::linear, linear_, ScaleLayout::swizzled_128x4, swizzled_, m_indptr, 3);
    }));
    EXPECT_TRUE(untouched());
}

}  // namespace
}  // namespace moegemm
