#include <moegemm/routing.hpp>

#include <limits>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "op/checked.hpp"
#include "op/gumbel_top_k.hpp"

namespace moegemm {
namespace {

[[noreturn]] void throw_argument(const char* name, std::int64_t value, std::string allowed) {
    throw Error(ErrorCode::invalid_argument, name, fmt::to_string(value), std::move(allowed));
}

[[noreturn]] void throw_routing(const Routing& routing, const std::string& fault, std::string allowed) {
    throw Error(ErrorCode::invalid_argument, "routing", fmt::format("{} ({})", routing.text, fault),
                std::move(allowed));
}

/// Refuses to go through more tokens one by one than row offsets, which are int32, could count.
void check_enumerable(const RoutingArguments& arguments) {
    constexpr std::int64_t limit = std::numeric_limits<std::int32_t>::max();
    if (arguments.num_tokens * arguments.topk > limit) {
        throw_argument("num_tokens", arguments.num_tokens,
                       fmt::format("at most {} / topk where every token is drawn", limit));
    }
}

/// The global expert at a place of the balanced order: local expert 0 of every rank, then local expert 1, …
std::int64_t balanced_expert(const RoutingArguments& arguments, std::int64_t place) {
    return place % arguments.ep_size * arguments.experts_per_rank() + place / arguments.ep_size;
}

/// Rows of every global expert: a cursor goes round the balanced order num_tokens·topk times.
std::vector<std::int64_t> balanced_counts(const RoutingArguments& arguments) {
    const std::int64_t rows = arguments.num_tokens * arguments.topk;
    std::vector<std::int64_t> counts(static_cast<std::size_t>(arguments.num_experts));
    for (std::int64_t place = 0; place < arguments.num_experts; ++place) {
        counts[static_cast<std::size_t>(balanced_expert(arguments, place))] =
            rows / arguments.num_experts + (place < rows % arguments.num_experts ? 1 : 0);
    }
    return counts;
}

GumbelTopK seeded_selection(const RoutingArguments& arguments, const Routing& routing) {
    // uniform is zipf with exponent 0: every log p is 0, whatever the permutation
    const double exponent = routing.kind == RoutingKind::zipf ? routing.exponent : 0.0;
    if (!is_zipf_exponent(exponent)) {
        throw_routing(routing, fmt::format("exponent {}", exponent), "a finite exponent from 0");
    }
    return {zipf_log_popularity(arguments.num_experts, exponent, routing.seed), arguments.topk, routing.seed};
}

std::vector<std::int64_t> seeded_counts(const RoutingArguments& arguments, const Routing& routing) {
    check_enumerable(arguments);
    GumbelTopK selection = seeded_selection(arguments, routing);
    std::vector<std::int64_t> counts(static_cast<std::size_t>(arguments.num_experts));
    for (std::int64_t token = 0; token < arguments.num_tokens; ++token) {
        for (const std::int64_t expert : selection.select(token)) {
            ++counts[static_cast<std::size_t>(expert)];
        }
    }
    return counts;
}

/// The counts of a recording, checked against the arguments.
const std::vector<std::int64_t>& recorded_counts(const RoutingArguments& arguments, const Routing& routing) {
    if (static_cast<std::int64_t>(routing.counts.size()) != arguments.num_experts) {
        throw_routing(routing, fmt::format("{} counts", routing.counts.size()),
                      fmt::format("one count for each of num_experts ({})", arguments.num_experts));
    }
    const std::int64_t rows = arguments.num_tokens * arguments.topk;
    std::int64_t sum = 0;
    for (std::size_t expert = 0; expert < routing.counts.size(); ++expert) {
        const std::int64_t count = routing.counts[expert];
        if (count < 0) {
            throw_routing(routing, fmt::format("[{}] = {}", expert, count), "counts from 0");
        }
        sum = checked_add(sum, count, "routing");
    }
    if (sum != rows) {
        throw_routing(routing, fmt::format("the sum is {}", sum),
                      fmt::format("counts that add up to num_tokens * topk ({})", rows));
    }
    return routing.counts;
}

std::vector<std::int64_t> global_counts(const RoutingArguments& arguments, const Routing& routing) {
    switch (routing.kind) {
        case RoutingKind::balanced:
            return balanced_counts(arguments);
        case RoutingKind::uniform:
        case RoutingKind::zipf:
            return seeded_counts(arguments, routing);
        default:
            return recorded_counts(arguments, routing);
    }
}

/// The experts of every token, in the order in which the routing chose them: [num_tokens][topk].
std::vector<std::vector<std::int64_t>> select_experts(const RoutingArguments& arguments, const Routing& routing) {
    check_enumerable(arguments);
    std::vector<std::vector<std::int64_t>> selected(static_cast<std::size_t>(arguments.num_tokens));
    if (routing.kind == RoutingKind::balanced) {
        std::int64_t cursor = 0;
        for (std::vector<std::int64_t>& experts : selected) {
            for (std::int64_t choice = 0; choice < arguments.topk; ++choice) {
                experts.push_back(balanced_expert(arguments, cursor));
                cursor = (cursor + 1) % arguments.num_experts;
            }
        }
        return selected;
    }
    GumbelTopK selection = seeded_selection(arguments, routing);
    for (std::int64_t token = 0; token < arguments.num_tokens; ++token) {
        const std::span<const std::int64_t> experts = selection.select(token);
        selected[static_cast<std::size_t>(token)].assign(experts.begin(), experts.end());
    }
    return selected;
}

}  // namespace

void RoutingArguments::check() const {
    if (num_tokens < 0) {
        throw_argument("num_tokens", num_tokens, "0 or more");
    }
    if (num_experts < 1 || num_experts > max_experts) {
        throw_argument("num_experts", num_experts, fmt::format("1 … {}", max_experts));
    }
    if (topk < 1 || topk > num_experts) {
        throw_argument("topk", topk, fmt::format("1 … num_experts ({})", num_experts));
    }
    if (ep_size < 1 || num_experts % ep_size != 0) {
        throw_argument("ep_size", ep_size, fmt::format("1 or more, dividing num_experts ({})", num_experts));
    }
    if (ep_rank < 0 || ep_rank >= ep_size) {
        throw_argument("ep_rank", ep_rank, fmt::format("0 … ep_size − 1 ({})", ep_size - 1));
    }
    static_cast<void>(checked_mul(num_tokens, topk, "num_tokens"));
}

std::vector<std::int64_t> route_counts(const RoutingArguments& arguments, const Routing& routing) {
    arguments.check();
    const std::vector<std::int64_t> counts = global_counts(arguments, routing);
    const auto first = counts.begin() + arguments.ep_rank * arguments.experts_per_rank();
    return {first, first + arguments.experts_per_rank()};
}

MoeTokensInfo moe_tokens_info(const RoutingArguments& arguments, const Routing& routing) {
    arguments.check();
    if (routing.kind == RoutingKind::counts) {
        throw Error(ErrorCode::unsupported, "routing", routing.text,
                    "balanced, uniform or zipf:<s>: counts do not say which token went where");
    }
    MoeTokensInfo result;
    result.num_scatter_tokens = arguments.num_tokens * arguments.topk;
    result.num_scatter_tokens_per_rank = result.num_scatter_tokens / arguments.ep_size;
    result.num_experts_per_rank = arguments.experts_per_rank();
    result.experts_start_idx = arguments.ep_rank * arguments.experts_per_rank();
    result.experts_end_idx = result.experts_start_idx + arguments.experts_per_rank();
    result.all_select_experts = select_experts(arguments, routing);

    const auto topk = static_cast<std::size_t>(arguments.topk);
    const double weight = 1.0 / static_cast<double>(arguments.topk);
    result.all_select_weights.assign(result.all_select_experts.size(), std::vector<double>(topk, weight));
    const auto local_experts = static_cast<std::size_t>(arguments.experts_per_rank());
    result.expert_dispatch_tokens.resize(local_experts);
    result.expert_dispatch_weights.resize(local_experts);
    for (std::size_t token = 0; token < result.all_select_experts.size(); ++token) {
        bool used = false;
        for (const std::int64_t expert : result.all_select_experts[token]) {
            if (expert < result.experts_start_idx || expert >= result.experts_end_idx) {
                continue;
            }
            const auto local = static_cast<std::size_t>(expert - result.experts_start_idx);
            result.expert_dispatch_tokens[local].push_back(static_cast<std::int64_t>(token));
            result.expert_dispatch_weights[local].push_back(weight);
            used = true;
        }
        result.used_src_tokens += used ? 1 : 0;
    }
    for (std::size_t local = 0; local < local_experts; ++local) {
        const std::vector<std::int64_t>& tokens = result.expert_dispatch_tokens[local];
        result.expert_dispatch_token_offset.push_back(result.dispatch_tokens);
        result.expert_dispatch_token_count.push_back(static_cast<std::int64_t>(tokens.size()));
        result.dispatch_tokens += static_cast<std::int64_t>(tokens.size());
        result.scatter_token_id.insert(result.scatter_token_id.end(), tokens.begin(), tokens.end());
    }
    result.scatter_token_weight.assign(result.scatter_token_id.size(), weight);
    return result;
}

}  // namespace moegemm
