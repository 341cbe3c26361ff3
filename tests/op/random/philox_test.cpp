#include "op/random/philox.hpp"

#include <cstdint>
#include <set>

#include <gtest/gtest.h>

namespace moegemm {
namespace {

void expect_words(const PhiloxBlock& block, std::uint32_t w0, std::uint32_t w1, std::uint32_t w2, std::uint32_t w3) {
    EXPECT_EQ(block.words[0], w0);
    EXPECT_EQ(block.words[1], w1);
    EXPECT_EQ(block.words[2], w2);
    EXPECT_EQ(block.words[3], w3);
}

// Random123 1.14, tests/kat_vectors, "philox4x32 10": counter words 0 … 3, key words 0, 1, the four results.
TEST(Philox, GivesTheKnownAnswers) {
    expect_words(philox(0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    const std::uint64_t ones = ~std::uint64_t{0};
    expect_words(philox(ones, ones, ones), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    // 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0: digits of pi
    expect_words(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88), 0xd16cfe09, 0x94fdcceb, 0x5001e420,
                 0x24126ea1);
}

TEST(Philox, IsConstexpr) { static_assert(philox(0, 0, 0).words[0] == 0x6627e8d5); }

TEST(Philox, HalvesGoFromLowToHigh) {
    constexpr PhiloxBlock block{{0x00010000, 0x00030002, 0x00050004, 0x00070006}};
    for (unsigned lane = 0; lane < 8; ++lane) {
        EXPECT_EQ(block.half(lane), lane);
    }
}

TEST(Philox, EveryPartOfKeyAndCounterMatters) {
    std::set<std::uint32_t> first_words{philox(0, 0, 0).words[0]};
    for (int bit = 0; bit < 64; ++bit) {
        const std::uint64_t one = std::uint64_t{1} << bit;
        first_words.insert(philox(one, 0, 0).words[0]);
        first_words.insert(philox(0, one, 0).words[0]);
        first_words.insert(philox(0, 0, one).words[0]);
    }
    EXPECT_EQ(first_words.size(), 1 + 3 * 64);
}

}  // namespace
}  // namespace moegemm
