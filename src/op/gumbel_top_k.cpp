#include "op/gumbel_top_k.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <utility>

#include "op/random/logarithm.hpp"
#include "op/random/philox.hpp"
#include "op/random/streams.hpp"

namespace moegemm {
namespace {

/// Draws are told apart by their upper bits first: most cannot win whatever their lower bits are, and then cost no
/// logarithm.
constexpr unsigned bin_bits = 10;
constexpr unsigned bits_below_bin = 32 - bin_bits;

/// The largest Gumbel number of each bin; that it is one follows from `gumbel` being ascending.
const std::array<double, 1U << bin_bits>& largest_of_bins() {
    static const auto largest = [] {
        std::array<double, 1U << bin_bits> values{};
        for (std::uint32_t bin = 0; bin < values.size(); ++bin) {
            values[bin] = gumbel((bin << bits_below_bin) | ((1U << bits_below_bin) - 1U));
        }
        return values;
    }();
    return largest;
}

}  // namespace

GumbelTopK::GumbelTopK(std::vector<double> log_popularity, std::int64_t topk, std::uint64_t seed)
    : log_popularity_(std::move(log_popularity)),
      topk_(static_cast<std::size_t>(topk)),
      seed_(seed),
      bits_((log_popularity_.size() + 3) / 4 * 4),
      keys_(topk_),
      experts_(topk_) {}

std::span<const std::int64_t> GumbelTopK::select(std::int64_t token) {
    const std::array<double, 1U << bin_bits>& largest = largest_of_bins();
    const std::size_t num_experts = log_popularity_.size();
    for (std::size_t group = 0; group < bits_.size() / 4; ++group) {
        const PhiloxBlock random = philox(seed_, streams::gumbel, gumbel_block(token, group));
        std::copy_n(random.words, 4, bits_.begin() + static_cast<std::ptrdiff_t>(4 * group));
    }
    std::size_t kept = 0;
    for (std::size_t expert = 0; expert < num_experts; ++expert) {
        const std::uint32_t bits = bits_[expert];
        // A key must exceed the last of topk others: an equal one belongs to a lower expert.
        if (kept == topk_ && log_popularity_[expert] + largest[bits >> bits_below_bin] <= keys_[topk_ - 1]) {
            continue;
        }
        const double key = log_popularity_[expert] + gumbel(bits);
        if (kept == topk_) {
            if (key <= keys_[topk_ - 1]) {
                continue;
            }
            --kept;
        }
        std::size_t place = kept;
        for (; place > 0 && keys_[place - 1] < key; --place) {
            keys_[place] = keys_[place - 1];
            experts_[place] = experts_[place - 1];
        }
        keys_[place] = key;
        experts_[place] = static_cast<std::int64_t>(expert);
        ++kept;
    }
    return experts_;
}

std::vector<double> zipf_log_popularity(std::int64_t num_experts, double exponent, std::uint64_t seed) {
    std::vector<std::size_t> expert_of_rank(static_cast<std::size_t>(num_experts));
    std::iota(expert_of_rank.begin(), expert_of_rank.end(), std::size_t{0});
    for (std::size_t last = expert_of_rank.size() - 1; last > 0; --last) {
        const PhiloxBlock random = philox(seed, streams::permutation, last);
        const std::uint64_t bits = (std::uint64_t{random.words[1]} << 32) | random.words[0];
        std::swap(expert_of_rank[last], expert_of_rank[bits % (last + 1)]);
    }
    std::vector<double> log_popularity(expert_of_rank.size());
    for (std::size_t rank = 0; rank < expert_of_rank.size(); ++rank) {
        log_popularity[expert_of_rank[rank]] = -(exponent * deterministic_log(static_cast<double>(rank + 1)));
    }
    return log_popularity;
}

}  // namespace moegemm
