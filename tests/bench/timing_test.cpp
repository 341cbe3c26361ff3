#include "bench/timing.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace moegemm::bench {
namespace {

/// P(B <= below) of B ~ Binomial(n, 1/2), by logarithms: another way than the code's.
double binomial_tail(std::size_t n, std::size_t below) {
    double sum = 0;
    for (std::size_t k = 0; k <= below; ++k) {
        const auto nk = static_cast<double>(k);
        const auto nn = static_cast<double>(n);
        sum += std::exp(std::lgamma(nn + 1) - std::lgamma(nk + 1) - std::lgamma(nn - nk + 1) - nn * std::log(2.0));
    }
    return sum;
}

TEST(MedianRanks, NoneBelowSixSamples) {
    for (std::size_t n = 1; n < 6; ++n) {
        EXPECT_FALSE(median_ranks(n)) << n;
    }
    const auto six = median_ranks(6);
    ASSERT_TRUE(six);
    EXPECT_EQ(six->low, 0U);
    EXPECT_EQ(six->high, 5U);
}

TEST(MedianRanks, AreTheNarrowestWithEnoughConfidence) {
    for (std::size_t n = 6; n <= 3000; n += n < 100 ? 1 : 97) {
        const auto ranks = median_ranks(n);
        ASSERT_TRUE(ranks) << n;
        EXPECT_EQ(ranks->low + ranks->high, n - 1) << n;
        EXPECT_LE(binomial_tail(n, ranks->low), 0.0252) << n;  // the normal law errs by a little
        EXPECT_GT(binomial_tail(n, ranks->low + 2), 0.025) << n;
        if (n <= 1000) {
            EXPECT_LE(binomial_tail(n, ranks->low), 0.025) << n;
            EXPECT_GT(binomial_tail(n, ranks->low + 1), 0.025) << n;
        }
    }
}

TEST(MedianRanks, CoverTheMedianOfASkewedLaw) {
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> law(0.0, 1.0);  // median 1
    int covered = 0;
    constexpr int trials = 2000;
    for (int trial = 0; trial < trials; ++trial) {
        std::vector<double> values(25);
        std::generate(values.begin(), values.end(), [&] { return law(random); });
        std::sort(values.begin(), values.end());
        const auto ranks = median_ranks(values.size());
        covered += values[ranks->low] <= 1.0 && values[ranks->high] >= 1.0 ? 1 : 0;
    }
    EXPECT_GE(covered, static_cast<int>(0.94 * trials));
    EXPECT_LE(covered, static_cast<int>(0.99 * trials));
}

TEST(Quantile, InterpolatesBetweenNeighbours) {
    const std::vector<double> sorted{1, 2, 3, 4};
    EXPECT_DOUBLE_EQ(quantile(sorted, 0), 1);
    EXPECT_DOUBLE_EQ(quantile(sorted, 0.25), 1.75);
    EXPECT_DOUBLE_EQ(quantile(sorted, 0.5), 2.5);
    EXPECT_DOUBLE_EQ(quantile(sorted, 1), 4);
    EXPECT_DOUBLE_EQ(quantile(std::vector<double>{5}, 0.25), 5);
}

/// A clock that a test moves.
struct FakeClock {
    double now = 0;
    [[nodiscard]] std::function<double()> reader() {
        return [this] { return now; };
    }
};

TEST(SampleUntil, StopsAtTheLeastWhenNothingVaries) {
    FakeClock clock;
    const StoppingRule rule{.min_samples = 11, .min_seconds = 0, .max_seconds = 100};
    const SampleSummary summary = sample_until(
        rule,
        [&] {
            clock.now += 0.01;
            return 10.0;
        },
        clock.reader(), nullptr);
    EXPECT_EQ(summary.samples, 11U);
    EXPECT_TRUE(summary.converged);
    EXPECT_EQ(summary.median, 10.0);
    EXPECT_EQ(summary.half_width, 0.0);
}

TEST(SampleUntil, HoldsOutForTheLeastTime) {
    FakeClock clock;
    const StoppingRule rule{.min_samples = 11, .min_seconds = 1.0, .max_seconds = 100};
    const SampleSummary summary = sample_until(
        rule,
        [&] {
            clock.now += 0.01;
            return 10.0;
        },
        clock.reader(), nullptr);
    EXPECT_GE(summary.samples, 99U);
    EXPECT_LE(summary.samples, 130U);
}

TEST(SampleUntil, SamplesOnUntilTheMedianIsKnownWithinOnePercent) {
    FakeClock clock;
    std::mt19937_64 random(3);
    std::normal_distribution<double> law(100.0, 5.0);
    const StoppingRule rule{.min_seconds = 0, .max_seconds = 1e9};
    const SampleSummary summary = sample_until(
        rule,
        [&] {
            clock.now += 1;
            return law(random);
        },
        clock.reader(), nullptr);
    EXPECT_TRUE(summary.converged);
    EXPECT_LE(summary.half_width.value(), 0.01);
    // 1.96 · 1.2533 · 5 % / √n = 1 % at n = 151
    EXPECT_GT(summary.samples, 60U);
    EXPECT_LT(summary.samples, 500U);
    EXPECT_NEAR(summary.median, 100.0, 1.5);
    EXPECT_LT(summary.min, summary.p25);
    EXPECT_LT(summary.p25, summary.median);
    EXPECT_LT(summary.median, summary.p75);
    EXPECT_LT(summary.p75, summary.max);
}

TEST(SampleUntil, GivesUpWhenTheTimeIsUpAndSaysSo) {
    FakeClock clock;
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> law(1.0, 1000.0);
    const StoppingRule rule{.min_seconds = 0, .max_seconds = 2.0};
    const SampleSummary summary = sample_until(
        rule,
        [&] {
            clock.now += 0.1;
            return law(random);
        },
        clock.reader(), nullptr);
    EXPECT_FALSE(summary.converged);
    EXPECT_NEAR(static_cast<double>(summary.samples), 20.0, 1.0);
    EXPECT_GT(summary.half_width.value(), 0.01);
}

TEST(SampleUntil, OneSampleIsEnoughWhenInterrupted) {
    FakeClock clock;
    const std::atomic<bool> interrupt{true};
    const SampleSummary summary = sample_until(
        {}, [] { return 3.0; }, clock.reader(), &interrupt);
    EXPECT_EQ(summary.samples, 1U);
    EXPECT_EQ(summary.median, 3.0);
    EXPECT_FALSE(summary.half_width);
    EXPECT_FALSE(summary.converged);
}

}  // namespace
}  // namespace moegemm::bench
