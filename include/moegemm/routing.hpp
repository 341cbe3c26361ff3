/// \file
/// Which token goes to which expert: the routings of the benchmark, and the metadata that xpu-perf's
/// `get_moe_tokens_info` derives from them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moegemm {

/// How the tokens are spread over the experts. All are pure functions of the arguments and the seed, the same on every
/// machine.
enum class RoutingKind : std::uint8_t {
    balanced,  ///< xpu-perf's: a cursor over the experts, ranks interleaved
    uniform,   ///< topk distinct experts a token, all equally likely
    zipf,      ///< expert popularity ∝ 1/rank^exponent, ranks dealt to experts by a seeded permutation
    counts,    ///< row counts of every global expert, as recorded from a real model
};

/// A routing and what it needs.
struct Routing {
    RoutingKind kind = RoutingKind::balanced;
    double exponent = 0.0;             ///< zipf: ≥ 0 and finite
    std::vector<std::int64_t> counts;  ///< counts: one entry a global expert
    std::uint64_t seed = 0;            ///< uniform, zipf
    std::string text = "balanced";     ///< as the user spelt it

    /// Reads "balanced", "uniform", "zipf:<s>" or "counts:<file>" (a JSON array of row counts).
    /// \throws Error invalid_argument ("routing") for another text, io or parse for a file that cannot be read as such
    /// an array
    [[nodiscard]] static Routing parse(std::string_view text, std::uint64_t seed);
};

/// The routing arguments of the op.
struct RoutingArguments {
    /// More experts than any model has: keeps tables of experts small however wrong the input is.
    static constexpr std::int64_t max_experts = std::int64_t{1} << 20;

    std::int64_t num_tokens = 0;   ///< ≥ 0
    std::int64_t num_experts = 0;  ///< 1 … max_experts, a multiple of ep_size
    std::int64_t topk = 0;         ///< 1 … num_experts
    std::int64_t ep_size = 1;      ///< ≥ 1
    std::int64_t ep_rank = 0;      ///< 0 … ep_size − 1

    /// \throws Error invalid_argument naming the first argument that is out of its range; overflow for num_tokens·topk
    /// ≥ 2^63
    void check() const;
    [[nodiscard]] std::int64_t experts_per_rank() const noexcept { return num_experts / ep_size; }
};

/// Rows of each expert of this rank, in the experts' order: E entries.
/// \throws Error as RoutingArguments::check; invalid_argument ("routing") for counts whose number is not num_experts,
/// that are
///         negative, or whose sum is not num_tokens·topk
[[nodiscard]] std::vector<std::int64_t> route_counts(const RoutingArguments& arguments, const Routing& routing);

/// All fields of xpu-perf's `get_moe_tokens_info`, under its names.
struct MoeTokensInfo {
    std::int64_t num_scatter_tokens = 0;           ///< num_tokens·topk
    std::int64_t num_scatter_tokens_per_rank = 0;  ///< ⌊num_scatter_tokens/ep_size⌋; not the rank's number of rows
    std::int64_t num_experts_per_rank = 0;         ///< E
    std::int64_t experts_start_idx = 0;            ///< first global expert of this rank
    std::int64_t experts_end_idx = 0;              ///< one past its last
    std::vector<std::vector<std::int64_t>> all_select_experts;      ///< [num_tokens][topk] global experts
    std::vector<std::vector<double>> all_select_weights;            ///< [num_tokens][topk], each 1/topk
    std::int64_t dispatch_tokens = 0;                               ///< M, this rank's rows
    std::int64_t used_src_tokens = 0;                               ///< tokens with at least one row on this rank
    std::vector<std::vector<std::int64_t>> expert_dispatch_tokens;  ///< [E] token of each row, ascending
    std::vector<std::vector<double>> expert_dispatch_weights;       ///< [E] weight of each row
    std::vector<std::int64_t> scatter_token_id;                     ///< [M] token of each row
    std::vector<double> scatter_token_weight;                       ///< [M] weight of each row
    std::vector<std::int64_t> expert_dispatch_token_count;          ///< [E]
    std::vector<std::int64_t> expert_dispatch_token_offset;         ///< [E]; m_indptr without its last entry
};

/// The full metadata of a routing.
/// \throws Error as route_counts; unsupported for RoutingKind::counts, which does not say which token went where
[[nodiscard]] MoeTokensInfo moe_tokens_info(const RoutingArguments& arguments, const Routing& routing);

}  // namespace moegemm
