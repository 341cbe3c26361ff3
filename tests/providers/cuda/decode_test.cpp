// Every code that the kernels decode, against formats/.
#include "providers/cuda/decode.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>

#include <gtest/gtest.h>

#include <moegemm/formats/formats.hpp>

namespace moegemm::cuda {
namespace {

std::uint16_t half(std::uint32_t both, int which) { return static_cast<std::uint16_t>(both >> (16 * which)); }

double e2m1_value(std::uint32_t eight, int index) {
    return static_cast<double>(formats::E2m1::decode(static_cast<std::uint8_t>((eight >> (4 * index)) & 0xFU)));
}

TEST(CudaDecode, E2m1AtEveryPlace) {
    for (std::uint32_t code = 0; code < 16; ++code) {
        for (int index = 0; index < 8; ++index) {
            for (const std::uint32_t others : {0U, 0xFFFFFFFFU, 0x5A5A5A5AU}) {
                const std::uint32_t eight = (others & ~(0xFU << (4 * index))) | (code << (4 * index));
                for (int pair = 0; pair < 4; ++pair) {
                    for (int which = 0; which < 2; ++which) {
                        const double want = e2m1_value(eight, pair + 4 * which);
                        const auto bf16 =
                            static_cast<double>(formats::Bf16::decode(half(e2m1_as_bf16(eight, pair), which)));
                        const auto f16 =
                            static_cast<double>(formats::F16::decode(half(e2m1_as_f16(eight, pair), which)));
                        ASSERT_EQ(std::ldexp(bf16, 126), want);
                        ASSERT_EQ(std::ldexp(f16, 14), want);
                        ASSERT_EQ(std::signbit(bf16), std::signbit(want));
                        ASSERT_EQ(std::signbit(f16), std::signbit(want));
                    }
                }
            }
        }
    }
    EXPECT_EQ(formats::Bf16::decode(half(bf16_two_126, 0)), 0x1p126F);
    EXPECT_EQ(half(bf16_two_126, 0), half(bf16_two_126, 1));
    EXPECT_EQ(formats::F16::decode(half(f16_two_14, 0)), 0x1p14F);
    EXPECT_EQ(half(f16_two_14, 0), half(f16_two_14, 1));
}

TEST(CudaDecode, E4m3WithoutTheInstruction) {
    for (std::uint32_t low = 0; low < 256; ++low) {
        for (std::uint32_t high = 0; high < 256; ++high) {
            const std::uint32_t both = e4m3_as_f16((high << 24) | 0x00FF00FFU | (low << 8));
            for (int which = 0; which < 2; ++which) {
                const float want = formats::E4m3::decode(static_cast<std::uint8_t>(which == 0 ? low : high));
                const float got = formats::F16::decode(half(both, which)) * 0x1p8F;
                if (std::isnan(want)) {
                    ASSERT_TRUE(std::isnan(got));
                } else {
                    ASSERT_EQ(got, want);
                    ASSERT_EQ(std::signbit(got), std::signbit(want));
                }
            }
        }
    }
    EXPECT_EQ(formats::F16::decode(half(f16_two_8, 0)), 0x1p8F);
}

/// A scale times every e2m1 value is a bf16: nothing is lost where the kernels multiply them.
/// \param factor of the values as they are decoded
void expect_products_exact(std::uint16_t scale, float factor) {
    for (std::uint8_t code = 0; code < 16; ++code) {
        const double product = static_cast<double>(formats::Bf16::decode(scale)) *
                               static_cast<double>(formats::E2m1::decode(code) * factor);
        const float rounded = formats::Bf16::decode(formats::Bf16::encode(static_cast<float>(product)));
        EXPECT_EQ(static_cast<double>(rounded), product);
        EXPECT_TRUE(std::isfinite(rounded));
    }
}

TEST(CudaDecode, EveryScaleAsBf16) {
    for (std::uint32_t code = 0; code < 256; ++code) {
        const auto byte = static_cast<std::uint8_t>(code);
        const float power = formats::Bf16::decode(ue8m0_quarter_as_bf16(code));
        const float raised = formats::Bf16::decode(ue4m3_raised_as_bf16(code));
        if (code == formats::Ue8m0::nan) {
            EXPECT_TRUE(std::isnan(power));
        } else {
            EXPECT_EQ(static_cast<double>(power), static_cast<double>(formats::Ue8m0::decode(byte)) / 4);
            expect_products_exact(ue8m0_quarter_as_bf16(code), 1);
        }
        if ((code & 0x7FU) == formats::Ue4m3::nan) {
            EXPECT_TRUE(std::isnan(raised));
        } else {
            EXPECT_EQ(raised, formats::Ue4m3::decode(byte) * 0x1p118F);
            expect_products_exact(ue4m3_raised_as_bf16(code), 0x1p-126F);
        }
    }
}

TEST(CudaDecode, HalvesOfAScale) {
    for (int exponent = -149; exponent < 128; ++exponent) {
        for (const float mantissa : {1.0F, -1.0F, 1.5F, 1.984375F, -1.25F}) {
            const float scale = std::ldexp(mantissa, exponent);
            if (scale == 0) {
                continue;
            }
            const ScaleHalves halves = halves_of(scale);
            EXPECT_EQ(static_cast<double>(halves.first) * static_cast<double>(halves.second),
                      static_cast<double>(scale));
            EXPECT_LE(std::abs(std::ilogb(halves.first)), 75);
            EXPECT_LE(std::abs(std::ilogb(halves.second)), 75);
            EXPECT_LE(halves.second, 0x1p63F) << "the product of two meets a group of zeros and must be finite";
            const bool moderate = std::fabs(scale) >= 0x1p-64F && std::fabs(scale) <= 0x1p64F;
            EXPECT_EQ(distance_of(scale) <= moderate_distance, moderate) << scale;
        }
    }
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float scale : {0.0F, -0.0F, infinity, -infinity}) {
        EXPECT_EQ(halves_of(scale).first, scale);
        EXPECT_EQ(halves_of(scale).second, 1.0F);
        EXPECT_GT(distance_of(scale), moderate_distance);
    }
    EXPECT_TRUE(std::isnan(halves_of(std::numeric_limits<float>::quiet_NaN()).first));
}

}  // namespace
}  // namespace moegemm::cuda
