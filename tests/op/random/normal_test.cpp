#include "op/random/normal.hpp"

#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

namespace moegemm {
namespace {

/// Probability that a standard normal number exceeds z.
double upper_tail(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }

TEST(NormalTable, EveryQuantileIsTheNearest) {
    // Half a unit of the table on either side of an entry must enclose the probability that the entry stands for.
    for (int point = 0; point <= 512; ++point) {
        const double tail = std::ldexp(1.0 + (point % 32) / 32.0, point / 32 - 17);
        const double quantile = detail::normal_quantiles[point];
        EXPECT_GE(upper_tail((quantile - 0.5001) / 0x1p18), tail) << point;
        EXPECT_LE(upper_tail((quantile + 0.5001) / 0x1p18), tail) << point;
    }
}

TEST(Normal, IsCloseToTheQuantileOfEveryDraw) {
    for (std::uint32_t draw = 0; draw < 0x8000; ++draw) {
        const double tail = (2.0 * draw + 1.0) * 0x1p-17;
        const auto z = static_cast<double>(normal(draw));
        // The tail falls with z, so a quantile within 1e-3 has a tail on the other side of the wanted one.
        EXPECT_GE(upper_tail(z * (1 - 1e-3)), tail) << draw;
        EXPECT_LE(upper_tail(z * (1 + 1e-3)), tail) << draw;
    }
}

TEST(Normal, FallsStrictlyAndIsSymmetricAndNeverZero) {
    for (std::uint32_t draw = 0; draw < 0x8000; ++draw) {
        EXPECT_GT(normal(draw), 0.0F) << draw;
        EXPECT_EQ(normal(draw | 0x8000U), -normal(draw)) << draw;
        EXPECT_EQ(fixed_normal(draw).magnitude, fixed_normal(draw | 0x8000U).magnitude) << draw;
        if (draw > 0) {
            EXPECT_LT(fixed_normal(draw).magnitude, fixed_normal(draw - 1).magnitude) << draw;
        }
    }
    EXPECT_LT(fixed_normal(0).magnitude, 1U << 31);
}

TEST(Normal, HasUnitVarianceAndANormalKurtosis) {
    double second = 0.0;
    double fourth = 0.0;
    for (std::uint32_t draw = 0; draw < 65536; ++draw) {
        const auto z = static_cast<double>(normal(draw));
        second += z * z / 65536.0;
        fourth += z * z * z * z / 65536.0;
    }
    EXPECT_NEAR(second, 1.0, 1e-3);
    EXPECT_NEAR(fourth, 3.0, 0.02);  // the tails end at 4.3
}

static_assert(normal(0) > 4.3F && normal(0) < 4.35F && normal(0x8000) == -normal(0));

}  // namespace
}  // namespace moegemm
