// Values and scales of A on their way to bf16: every code at every place.
#include <cmath>
#include <cstdint>
#include <random>

#include <gtest/gtest.h>

#include <moegemm/formats/formats.hpp>

#include "providers/hopper/kernels/row_values.hpp"

namespace moegemm::hopper {
namespace {

using formats::Bf16;
using formats::E2m1;
using formats::E4m3;
using formats::E5m2;
using formats::Ue4m3;
using formats::Ue8m0;

/// What the multiplication by a power of two makes of half of a pair.
std::uint32_t raised(std::uint32_t bits, int exponent) {
    return Bf16::encode(static_cast<float>(std::ldexp(Bf16::decode(static_cast<std::uint16_t>(bits)), exponent)));
}

template <DType type, class Format>
void expect_every_code() {
    using Values = RowValues<type>;
    constexpr int bits = 32 / Values::in_word;
    std::mt19937 random(1);
    for (std::uint32_t code = 0; code < (1U << bits); ++code) {
        const float value = Format::decode(static_cast<std::uint8_t>(code));
        for (int place = 0; place < Values::in_word; ++place) {
            for (const bool alone : {true, false}) {  // the other values are 0, or any
                const std::uint32_t mask = ((1U << bits) - 1U) << (place * bits);
                const std::uint32_t word =
                    ((alone ? 0U : static_cast<std::uint32_t>(random())) & ~mask) | code << (place * bits);
                const int shift = place % 2 * 16;
                const std::uint32_t half = Values::pair_of(word, place / 2) >> shift & 0xFFFFU;
                const std::uint32_t special = Values::special_bits(word, place / 2) >> shift & 0xFFFFU;
                const auto made = Bf16::decode(static_cast<std::uint16_t>(raised(half, Values::exponent) | special));
                if (std::isnan(value)) {
                    EXPECT_TRUE(std::isnan(made)) << code;
                } else {
                    EXPECT_EQ(made, value) << code;
                    EXPECT_EQ(std::signbit(made), std::signbit(value)) << code;
                }
                if (alone) {
                    EXPECT_EQ(Values::has_special(word), !std::isfinite(value)) << code;
                } else if (!std::isfinite(value)) {
                    EXPECT_TRUE(Values::has_special(word)) << code;
                }
            }
        }
    }
    EXPECT_EQ(Bf16::decode(static_cast<std::uint16_t>(Values::factor)), std::ldexp(1.0F, Values::exponent));
    EXPECT_EQ(Values::factor >> 16, Values::factor & 0xFFFFU);
}

TEST(HopperRowValues, EveryE2m1CodeAtEveryPlace) { expect_every_code<DType::e2m1x2, E2m1>(); }
TEST(HopperRowValues, EveryE4m3CodeAtEveryPlace) { expect_every_code<DType::e4m3, E4m3>(); }
TEST(HopperRowValues, EveryE5m2CodeAtEveryPlace) { expect_every_code<DType::e5m2, E5m2>(); }

template <DType type, class Format>
void expect_every_scale() {
    using Scale = RowScale<type>;
    for (std::uint32_t code = 0; code < 256; ++code) {
        const float scale = Format::decode(static_cast<std::uint8_t>(code));
        const std::uint32_t bits = Scale::bits_of(code);
        EXPECT_EQ(bits >> 16, bits & 0xFFFFU);
        const auto made = Bf16::decode(static_cast<std::uint16_t>(raised(bits & 0xFFFFU, Scale::exponent)));
        if (std::isnan(scale)) {
            EXPECT_TRUE(std::isnan(made)) << code;
        } else {
            EXPECT_EQ(made, scale) << code;
        }
    }
    EXPECT_EQ(Bf16::decode(static_cast<std::uint16_t>(Scale::factor)), std::ldexp(1.0F, Scale::exponent));
}

TEST(HopperRowValues, EveryUe8m0Scale) { expect_every_scale<DType::ue8m0, Ue8m0>(); }
TEST(HopperRowValues, EveryUe4m3Scale) { expect_every_scale<DType::ue4m3, Ue4m3>(); }

}  // namespace
}  // namespace moegemm::hopper
