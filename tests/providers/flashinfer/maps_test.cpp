// The maps between the op's rows and scales and those that FlashInfer's kernels want, each against what it is defined
// by, for every small routing.
#include "providers/flashinfer/maps.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace moegemm::flashinfer {
namespace {

template <class Step>
void run(const Step& step) {
    for (std::int64_t index = 0; index < step.count(); ++index) {
        step(index);
    }
}

/// Every routing of up to 4 experts with up to 9 rows each.
template <class Check>
void for_each_routing(Check&& check) {
    for (std::size_t experts = 1; experts <= 4; ++experts) {
        std::vector<std::int32_t> counts(experts, 0);
        for (;;) {
            std::vector<std::int32_t> m_indptr{0};
            for (const std::int32_t count : counts) {
                m_indptr.push_back(m_indptr.back() + count);
            }
            check(m_indptr);
            std::size_t digit = 0;
            while (digit < experts && ++counts[digit] > 9) {
                counts[digit++] = 0;
            }
            if (digit == experts) {
                break;
            }
        }
    }
}

/// Sentences of the definition, each by itself: where rows begin, that they fit, that none is lost.
TEST(FlashInferMaps, PaddedRowsHoldEveryRowOnce) {
    for_each_routing([](const std::vector<std::int32_t>& m_indptr) {
        const auto experts = static_cast<std::int64_t>(m_indptr.size()) - 1;
        std::vector<std::int32_t> padded(m_indptr.size(), -1);
        run(PadStarts{m_indptr.data(), padded.data(), experts});
        ASSERT_EQ(padded[0], 0);
        ASSERT_LE(padded.back(), padded_capacity(m_indptr.back(), experts));
        const Rows rows{m_indptr.data(), padded.data(), experts};
        std::vector<int> seen(static_cast<std::size_t>(m_indptr.back()), 0);
        std::size_t e = 0;
        for (std::int32_t row = 0; row < padded.back(); ++row) {
            while (padded[e + 1] <= row) {
                ++e;
            }
            const Rows::Source source = rows.source(row);
            ASSERT_EQ(source.expert, static_cast<std::int64_t>(e));
            if (source.row >= 0) {
                ASSERT_GE(source.row, m_indptr[e]);
                ASSERT_LT(source.row, m_indptr[e + 1]);
                ASSERT_EQ(rows.padded_row(source.row), row);
                ++seen[static_cast<std::size_t>(source.row)];
            }
        }
        ASSERT_TRUE(std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }));
        for (std::size_t expert = 0; expert + 1 < m_indptr.size(); ++expert) {
            const std::int32_t count = m_indptr[expert + 1] - m_indptr[expert];
            ASSERT_EQ(padded[expert + 1] - padded[expert], (count + 3) / 4 * 4);
        }
    });
}

TEST(FlashInferMaps, RowsGoToTheirPlacesAndComeBack) {
    constexpr std::int64_t pieces = 3;
    for_each_routing([&](const std::vector<std::int32_t>& m_indptr) {
        const auto experts = static_cast<std::int64_t>(m_indptr.size()) - 1;
        const std::int64_t used = m_indptr.back();
        const std::int64_t total = used + 2;  // rows behind m_indptr's last are neither read nor written
        const std::int64_t capacity = padded_capacity(total, experts);
        std::vector<std::int32_t> padded(m_indptr.size());
        run(PadStarts{m_indptr.data(), padded.data(), experts});
        const Rows rows{m_indptr.data(), padded.data(), experts};
        std::vector<Piece> a(static_cast<std::size_t>(total * pieces));
        for (std::size_t i = 0; i < a.size(); ++i) {
            const auto word = static_cast<std::uint32_t>(i + 1);
            a[i] = {{word, word << 8, ~word, 7}};
        }
        const Piece poison{{0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}};
        std::vector<Piece> wide(static_cast<std::size_t>(capacity * pieces), poison);
        run(PadRows{rows, a.data(), wide.data(), pieces, capacity});
        for (std::int64_t row = 0; row < capacity; ++row) {
            const bool inside = row < padded.back();
            const std::int64_t source = inside ? rows.source(row).row : -1;
            for (std::int64_t piece = 0; piece < pieces; ++piece) {
                const Piece& got = wide[static_cast<std::size_t>(row * pieces + piece)];
                const Piece want = !inside      ? poison
                                   : source < 0 ? Piece{}
                                                : a[static_cast<std::size_t>(source * pieces + piece)];
                ASSERT_TRUE(std::equal(got.words, got.words + 4, want.words));
            }
        }
        std::vector<Piece> back(a.size(), poison);
        run(GatherRows{rows, wide.data(), back.data(), pieces, total});
        std::vector<Piece> cleared(a.size(), poison);
        run(ClearRows{m_indptr.data(), experts, cleared.data(), pieces, total});
        for (std::size_t i = 0; i < a.size(); ++i) {
            const bool inside = static_cast<std::int64_t>(i) < used * pieces;
            ASSERT_TRUE(std::equal(back[i].words, back[i].words + 4, inside ? a[i].words : poison.words));
            const Piece zero{};
            ASSERT_TRUE(std::equal(cleared[i].words, cleared[i].words + 4, inside ? zero.words : poison.words));
        }
    });
}

/// Random routings whose experts cross tiles of 128 rows.
std::vector<std::int32_t> random_m_indptr(std::mt19937_64& random) {
    std::vector<std::int32_t> m_indptr{0};
    const std::size_t experts = 1 + random() % 9;
    for (std::size_t e = 0; e < experts; ++e) {
        const auto rows = static_cast<std::int32_t>(random() % 3 == 0 ? 0 : random() % (random() % 4 == 0 ? 300 : 7));
        m_indptr.push_back(m_indptr.back() + rows);
    }
    return m_indptr;
}

/// The byte of a scale in FlashInfer's words: matrices of 128×4 tiles, 512 bytes each, an expert's first row being
/// ⌊(m_indptr + 127·i)/128⌋·128.
std::size_t swizzled_byte(std::int64_t start, std::int64_t i, std::int64_t row, std::int64_t column,
                          std::int64_t columns) {
    const std::int64_t first = (start + 127 * i) / 128 * 128;
    const std::int64_t tiles_a_row = (columns + 3) / 4;
    const std::int64_t tile = row / 128 * tiles_a_row + column / 4;
    return static_cast<std::size_t>(first * tiles_a_row * 4 + tile * 512 + row % 32 * 16 + row / 32 % 4 * 4 +
                                    column % 4);
}

TEST(FlashInferMaps, GroupScalesFollowTheirRows) {
    std::mt19937_64 random(5);
    for (int round = 0; round < 300; ++round) {
        const std::vector<std::int32_t> m_indptr = random_m_indptr(random);
        const auto experts = static_cast<std::int64_t>(m_indptr.size()) - 1;
        const std::int64_t columns = 4 * static_cast<std::int64_t>(1 + random() % 3);
        const std::int64_t total = m_indptr.back();
        const std::int64_t capacity = padded_capacity(total, experts);
        std::vector<std::int32_t> padded(m_indptr.size());
        run(PadStarts{m_indptr.data(), padded.data(), experts});
        for (const ScaleLayout layout :
             {ScaleLayout::linear, ScaleLayout::swizzled_128x4, ScaleLayout::swizzled_128x4_whole}) {
            std::vector<std::uint32_t> from(static_cast<std::size_t>((total + 128 * (experts + 1)) * columns / 4), ~0U);
            auto* bytes = reinterpret_cast<std::uint8_t*>(from.data());
            const auto code = [](std::int64_t row, std::int64_t column) {
                return static_cast<std::uint8_t>((row * 37 + column * 11) % 251);
            };
            for (std::int64_t e = 0; e < experts; ++e) {
                const auto first = m_indptr[static_cast<std::size_t>(e)];
                for (std::int64_t row = first; row < m_indptr[static_cast<std::size_t>(e) + 1]; ++row) {
                    for (std::int64_t column = 0; column < columns; ++column) {
                        const std::size_t at = layout == ScaleLayout::linear
                                                   ? static_cast<std::size_t>(row * columns + column)
                                               : layout == ScaleLayout::swizzled_128x4
                                                   ? swizzled_byte(first, e, row - first, column, columns)
                                                   : swizzled_byte(0, 0, row, column, columns);
                        bytes[at] = code(row, column);
                    }
                }
            }
            std::vector<std::uint32_t> to(
                static_cast<std::size_t>(scales::swizzled_total_rows(capacity, experts) * columns / 4), 0xA5A5A5A5);
            run(PadGroupScales{
                {m_indptr.data(), padded.data(), experts}, layout, from.data(), to.data(), columns, total, capacity});
            const auto* got = reinterpret_cast<const std::uint8_t*>(to.data());
            for (std::int64_t e = 0; e < experts; ++e) {
                const auto i = static_cast<std::size_t>(e);
                for (std::int64_t row = 0; row < padded[i + 1] - padded[i]; ++row) {
                    const bool real = row < m_indptr[i + 1] - m_indptr[i];
                    for (std::int64_t column = 0; column < columns; ++column) {
                        ASSERT_EQ(got[swizzled_byte(padded[i], e, row, column, columns)],
                                  real ? code(m_indptr[i] + row, column) : 0);
                    }
                }
            }
        }
    }
}

TEST(FlashInferMaps, BlockScalesFollowTheirRows) {
    std::mt19937_64 random(6);
    for (int round = 0; round < 300; ++round) {
        const std::vector<std::int32_t> m_indptr = random_m_indptr(random);
        const auto experts = static_cast<std::int64_t>(m_indptr.size()) - 1;
        const auto columns = static_cast<std::int64_t>(1 + random() % 4);
        const std::int64_t total = m_indptr.back() + 3;
        const std::int64_t capacity = padded_capacity(total, experts);
        std::vector<std::int32_t> padded(m_indptr.size());
        run(PadStarts{m_indptr.data(), padded.data(), experts});
        for (const bool mn_major : {true, false}) {
            std::vector<float> from(static_cast<std::size_t>(total * columns));
            std::iota(from.begin(), from.end(), 1.0F);
            std::vector<float> to(static_cast<std::size_t>(capacity * columns), -1.0F);
            run(PadBlockScales{{m_indptr.data(), padded.data(), experts},
                               mn_major ? ScaleLayout::mn_major : ScaleLayout::k_major,
                               from.data(),
                               to.data(),
                               columns,
                               total,
                               capacity});
            const auto index = [&](std::int64_t row, std::int64_t column, std::int64_t rows) {
                return static_cast<std::size_t>(mn_major ? column * rows + row : row * columns + column);
            };
            for (std::size_t e = 0; e + 1 < m_indptr.size(); ++e) {
                for (std::int32_t row = 0; row < padded[e + 1] - padded[e]; ++row) {
                    for (std::int64_t column = 0; column < columns; ++column) {
                        const float want =
                            row < m_indptr[e + 1] - m_indptr[e] ? from[index(m_indptr[e] + row, column, total)] : 0.0F;
                        ASSERT_EQ(to[index(padded[e] + row, column, capacity)], want);
                    }
                }
            }
        }
    }
}

TEST(FlashInferMaps, WeightScalesAreSwizzledExpertByExpert) {
    for (const std::int64_t n : {8, 120, 128, 136, 384}) {
        for (const std::int64_t columns : {4, 8, 12}) {
            constexpr std::int64_t experts = 3;
            std::vector<std::uint8_t> from(static_cast<std::size_t>(experts * n * columns));
            for (std::size_t i = 0; i < from.size(); ++i) {
                from[i] = static_cast<std::uint8_t>(1 + i % 251);
            }
            const std::int64_t stored = (n + 127) / 128 * 128;
            std::vector<std::uint32_t> to(static_cast<std::size_t>(experts * stored * columns / 4), ~0U);
            run(SwizzleWeightScales{from.data(), to.data(), experts, n, columns});
            const auto* got = reinterpret_cast<const std::uint8_t*>(to.data());
            for (std::int64_t e = 0; e < experts; ++e) {
                for (std::int64_t row = 0; row < stored; ++row) {
                    for (std::int64_t column = 0; column < columns; ++column) {
                        const std::size_t at =
                            static_cast<std::size_t>(e * stored * columns) + swizzled_byte(0, 0, row, column, columns);
                        ASSERT_EQ(got[at],
                                  row < n ? from[static_cast<std::size_t>((e * n + row) * columns + column)] : 0);
                    }
                }
            }
        }
    }
}

TEST(FlashInferMaps, SegmentsPointAtTheirRows) {
    const std::vector<std::int32_t> m_indptr{0, 3, 3, 10};
    std::vector<std::int32_t> problems(9);
    std::vector<std::int64_t> pointers(9);
    std::vector<std::int64_t> strides(9);
    run(SegmentArguments{m_indptr.data(), 3, 24, 64, 1000, 2000000, 30000000, 1, 2, problems.data(), pointers.data(),
                         strides.data()});
    EXPECT_EQ(problems, (std::vector<std::int32_t>{3, 24, 64, 0, 24, 64, 7, 24, 64}));
    EXPECT_EQ(pointers, (std::vector<std::int64_t>{1000, 1000 + 3 * 64, 1000 + 3 * 64, 2000000, 2000000 + 24 * 64,
                                                   2000000 + 2 * 24 * 64, 30000000, 30000000 + 3 * 24 * 2,
                                                   30000000 + 3 * 24 * 2}));
    EXPECT_EQ(strides, (std::vector<std::int64_t>{64, 64, 64, 64, 64, 64, 24, 24, 24}));
}

}  // namespace
}  // namespace moegemm::flashinfer
