/// \file
/// Seeded top-k routing: topk distinct experts a token, drawn in proportion to their popularity without replacement.
/// Source: Kool, van Hoof, Welling, "Stochastic Beams and Where to Find Them", ICML 2019, section 2.3 (Gumbel top-k).
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace moegemm {

/// The Philox block (stream `gumbel`) of the Gumbel draws of experts 4·group … 4·group + 3 for a token.
/// Experts number at most 2^20 (RoutingArguments::max_experts), so tokens' blocks do not meet.
[[nodiscard]] constexpr std::uint64_t gumbel_block(std::int64_t token, std::uint64_t group) noexcept {
    return (static_cast<std::uint64_t>(token) << 18) | group;
}

/// Draws the experts of one token after another. Expert e's key for a token is log p_e plus its Gumbel draw, and the
/// topk largest keys win, the lower expert first where two are equal.
class GumbelTopK {
public:
    /// \param log_popularity log p_e of every global expert, up to a constant that all share
    GumbelTopK(std::vector<double> log_popularity, std::int64_t topk, std::uint64_t seed);

    /// The experts of a token, largest key first; overwritten by the next call.
    [[nodiscard]] std::span<const std::int64_t> select(std::int64_t token);

private:
    std::vector<double> log_popularity_;
    std::size_t topk_;
    std::uint64_t seed_;
    std::vector<std::uint32_t> bits_;    ///< the token's draws, one an expert, in whole blocks
    std::vector<double> keys_;           ///< of the best so far, descending
    std::vector<std::int64_t> experts_;  ///< theirs
};

/// Whether popularities can follow 1/rank^exponent: finite and not negative.
[[nodiscard]] inline bool is_zipf_exponent(double exponent) noexcept {
    return std::isfinite(exponent) && exponent >= 0.0;
}

/// log p_e with p ∝ 1/rank^exponent, without the constant that makes p sum to 1. The ranks 1 … num_experts are dealt to
/// experts by a seeded permutation: Fisher-Yates from the last place to the second, each place drawn as 64 random bits
/// modulo the places left (a bias below 2^-44).
[[nodiscard]] std::vector<double> zipf_log_popularity(std::int64_t num_experts, double exponent, std::uint64_t seed);

}  // namespace moegemm
