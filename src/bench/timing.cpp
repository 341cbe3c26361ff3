#include "bench/timing.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace moegemm::bench {

std::optional<MedianRanks> median_ranks(std::size_t samples) {
    // With B ~ Binomial(n, 1/2) samples below the median, the order statistics of ranks l and n-1-l (from 0) enclose it
    // unless B <= l or B >= n-l: a probability of 2·P(B <= l), which is to be at most 5 %.
    constexpr double tail = 0.025;
    constexpr std::size_t exact_limit = 1000;  // 2^-n is a double up to here, and the normal law is close from here on
    const auto n = static_cast<double>(samples);
    std::size_t below = 0;  // how many values of B, from 0 up, fit into the tail
    if (samples <= exact_limit) {
        double probability = std::ldexp(1.0, -static_cast<int>(samples));
        double sum = probability;
        while (sum <= tail) {
            probability *= (n - static_cast<double>(below)) / static_cast<double>(below + 1);
            sum += probability;
            ++below;
        }
    } else {
        below = static_cast<std::size_t>(std::floor(n / 2 + 0.5 - 1.959964 * std::sqrt(n) / 2));
    }
    if (below == 0) {
        return std::nullopt;
    }
    return MedianRanks{below - 1, samples - below};
}

double quantile(std::span<const double> sorted, double fraction) {
    const double position = fraction * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

SampleSummary summarize(std::vector<double> samples, double precision) {
    std::sort(samples.begin(), samples.end());
    SampleSummary summary;
    summary.samples = samples.size();
    summary.min = samples.front();
    summary.p25 = quantile(samples, 0.25);
    summary.median = quantile(samples, 0.5);
    summary.p75 = quantile(samples, 0.75);
    summary.max = samples.back();
    if (const auto ranks = median_ranks(samples.size()); ranks && summary.median > 0) {
        summary.half_width =
            std::max(samples[ranks->high] - summary.median, summary.median - samples[ranks->low]) / summary.median;
        summary.converged = *summary.half_width <= precision;
    }
    return summary;
}

SampleSummary sample_until(const StoppingRule& rule, const std::function<double()>& sample,
                           const std::function<double()>& seconds, const std::atomic<bool>* interrupt) {
    std::vector<double> samples;
    samples.reserve(4096);
    const double start = seconds();
    std::size_t next_look = rule.min_samples;
    while (true) {
        samples.push_back(sample());
        const double elapsed = seconds() - start;
        const bool interrupted = interrupt != nullptr && interrupt->load(std::memory_order_relaxed);
        if (interrupted || elapsed >= rule.max_seconds || samples.size() >= rule.max_samples) {
            return summarize(std::move(samples), rule.precision);
        }
        if (samples.size() >= next_look && elapsed >= rule.min_seconds) {
            SampleSummary summary = summarize(samples, rule.precision);
            if (summary.converged) {
                return summary;
            }
            // Ever rarer: sorting takes time and turns out caches, and each look is one more chance to stop by luck.
            next_look = samples.size() + std::max<std::size_t>(1, samples.size() / 8);
        }
    }
}

double steady_seconds() noexcept {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace moegemm::bench
