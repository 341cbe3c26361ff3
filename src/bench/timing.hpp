/// \file
/// When enough calls have been timed, and what they say: order statistics, which assume no distribution.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace moegemm::bench {

/// When to stop sampling.
struct StoppingRule {
    std::size_t min_samples = 11;
    std::size_t max_samples = 100'000;
    double min_seconds = 0.05;
    double max_seconds = 2.0;
    double precision = 0.01;  ///< the median's interval reaches at most this far from it, as a part of it
};

/// Ranks (from 0) of the two order statistics that enclose the median with at least 95 % confidence.
struct MedianRanks {
    std::size_t low;
    std::size_t high;
};
/// By the binomial distribution of the number of samples below the median; nothing below six samples, where no two
/// order statistics are that sure.
[[nodiscard]] std::optional<MedianRanks> median_ranks(std::size_t samples);

/// The quantile of sorted values, interpolated between neighbours (Hyndman and Fan's type 7, as NumPy's default).
/// \param sorted at least one value
[[nodiscard]] double quantile(std::span<const double> sorted, double fraction);

/// What the samples say.
struct SampleSummary {
    std::size_t samples = 0;
    double min = 0;
    double p25 = 0;
    double median = 0;
    double p75 = 0;
    double max = 0;
    /// Of the median's 95 % interval, its farther end, as a part of the median; absent below six samples.
    std::optional<double> half_width;
    bool converged = false;  ///< half_width is within the rule's precision
};
/// \param samples at least one value, in any order
[[nodiscard]] SampleSummary summarize(std::vector<double> samples, double precision);

/// Takes samples until the rule is content.
/// \param sample    takes one, in µs
/// \param seconds   a clock for the rule's seconds
/// \param interrupt when set, one sample is enough; may be null
[[nodiscard]] SampleSummary sample_until(const StoppingRule& rule, const std::function<double()>& sample,
                                         const std::function<double()>& seconds, const std::atomic<bool>* interrupt);

/// Seconds of the steady clock.
[[nodiscard]] double steady_seconds() noexcept;

}  // namespace moegemm::bench
