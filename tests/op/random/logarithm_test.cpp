#include "op/random/logarithm.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "op/random/philox.hpp"

namespace moegemm {
namespace {

/// |deterministic_log(x) − ln x| / |ln x|, the truth in extended precision.
double relative_error(double x) {
    const long double truth = std::log(static_cast<long double>(x));
    return static_cast<double>(std::fabs((static_cast<long double>(deterministic_log(x)) - truth) / truth));
}

constexpr double bound = 4e-16;

TEST(DeterministicLog, IsAccurateOverAllExponents) {
    double worst = 0.0;
    for (std::uint64_t i = 0; i < 200000; ++i) {
        const PhiloxBlock random = philox(7, 0, i);
        const std::uint64_t exponent = 1 + random.words[0] % 2046;
        const std::uint64_t mantissa = (std::uint64_t{random.words[1]} << 20) | (random.words[2] >> 12);
        worst = std::max(worst, relative_error(std::bit_cast<double>(exponent << 52 | mantissa)));
    }
    EXPECT_LT(worst, bound);
    RecordProperty("worst", std::to_string(worst));
}

TEST(DeterministicLog, IsAccurateNearOneAndAtEveryIntervalsEnds) {
    for (int power = 1; power <= 52; ++power) {
        for (const double sign : {-1.0, 1.0}) {
            EXPECT_LT(relative_error(1.0 + sign * std::ldexp(1.0, -power)), bound) << power;
            EXPECT_LT(relative_error(1.0 + sign * std::ldexp(1.37, -power)), bound) << power;
        }
    }
    for (std::uint64_t interval = 0; interval <= 128; ++interval) {
        const auto start = std::bit_cast<double>(std::uint64_t{0x3FE6000000000000} + (interval << 45));
        for (const double x : {start, std::nextafter(start, 0.0)}) {
            if (x != 1.0) {
                EXPECT_LT(relative_error(x), bound) << interval;
                EXPECT_LT(relative_error(x * 0x1p-30), bound) << interval;
            }
        }
    }
}

TEST(DeterministicLog, HasItsExactPoints) {
    EXPECT_EQ(deterministic_log(1.0), 0.0);
    EXPECT_EQ(deterministic_log(2.0), 0x1.62e42fefa39efp-1);
    EXPECT_EQ(deterministic_log(0.5), -0x1.62e42fefa39efp-1);
    EXPECT_EQ(deterministic_log(0x1p64), 64 * 0x1.62e42fefa39efp-1);
}

TEST(Gumbel, IsAccurate) {
    const auto check = [](std::uint32_t bits) {
        const long double u = (static_cast<long double>(bits) + 0.5L) / 4294967296.0L;
        const long double truth = -std::log(-std::log(u));
        EXPECT_NEAR(gumbel(bits), static_cast<double>(truth), 2e-15 * std::max(1.0, std::fabs(gumbel(bits)))) << bits;
    };
    for (std::uint32_t near_end = 0; near_end < 1000; ++near_end) {
        check(near_end);
        check(~near_end);
    }
    for (std::uint64_t i = 0; i < 100000; ++i) {
        check(philox(8, 0, i).words[0]);
    }
    EXPECT_GT(gumbel(0), -3.14);
    EXPECT_LT(gumbel(~0U), 23.0);
}

TEST(Gumbel, AscendsStrictly) {
    const auto check = [](std::uint32_t bits) { EXPECT_GT(gumbel(bits + 1) - gumbel(bits), 1e-11) << bits; };
    for (std::uint64_t i = 0; i < 100000; ++i) {
        check(std::min(philox(9, 0, i).words[0], 0xFFFFFFFEU));
    }
    for (std::uint32_t i = 0; i < 4096; ++i) {
        check(i << 20);
        check((i << 20) + 0xFFFFEU);
    }
}

TEST(Gumbel, HasTheMeanAndVarianceOfTheDistribution) {
    double mean = 0.0;
    double square = 0.0;
    constexpr int draws = 1 << 18;
    for (std::uint32_t i = 0; i < draws; ++i) {
        const double g = gumbel((i << 14) + 0x1FFFU);  // evenly spread
        mean += g / draws;
        square += g * g / draws;
    }
    EXPECT_NEAR(mean, 0.5772156649, 1e-4);
    EXPECT_NEAR(square - mean * mean, 1.6449340668, 2e-3);
}

}  // namespace
}  // namespace moegemm
