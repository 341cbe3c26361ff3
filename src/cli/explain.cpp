#include <algorithm>
#include <iostream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "bench/record.hpp"
#include "cli/command.hpp"
#include "cli/console.hpp"

#include <moegemm/error.hpp>
#include <moegemm/tensor.hpp>

namespace moegemm::cli {
namespace {

struct Options {
    std::vector<std::string> pairs;
    std::string routing = "balanced";
    std::uint64_t seed = 0;
    bool json = false;
    std::vector<std::string> plugins;
};

/// A case on paper.
struct Explanation {
    Problem problem;
    std::vector<TensorSpec> tensors;
    Accounting counts;
    std::vector<std::pair<std::string, Support>> providers;
};

Problem read_problem(const Options& options) {
    std::vector<std::pair<std::string, ArgumentValue>> pairs;
    for (const std::string& pair : options.pairs) {
        const std::size_t equals = pair.find('=');
        if (equals == std::string::npos || equals == 0) {
            throw Error(ErrorCode::invalid_argument, "argument", pair, "key=value, as in num_tokens=64");
        }
        pairs.emplace_back(pair.substr(0, equals), parse_argument_value(std::string_view(pair).substr(equals + 1)));
    }
    std::vector<std::string> unknown;
    const Arguments arguments = Arguments::from(pairs, &unknown);
    if (!unknown.empty()) {
        say(fmt::format("ignored, the op has no such arguments: {}", fmt::join(unknown, ", ")));
    }
    return Problem::from(arguments, Routing::parse(options.routing, options.seed));
}

Explanation explain(const Options& options, const Registry& registry) {
    Problem problem = read_problem(options);
    Explanation result{problem, tensor_specs(problem.spec(), problem.rows()), account(problem), {}};
    for (const std::shared_ptr<const Provider>& provider : registry.providers()) {
        result.providers.emplace_back(provider->info().name, provider->supports(problem.spec()));
    }
    return result;
}

/// The layout of a tensor's elements, where it is more than row-major.
std::string_view layout_of(const TensorSpec& tensor, const GemmSpec& spec) {
    const bool scales = tensor.role == Role::a_scale || tensor.role == Role::w_scale;
    return scales && spec.scale_layout != ScaleLayout::none ? to_string(spec.scale_layout) : "row-major";
}

double intensity(const Accounting& counts) {
    return static_cast<double>(counts.flops) / static_cast<double>(std::max<std::int64_t>(counts.io_bytes, 1));
}

void print_json(const Explanation& item) {
    const GemmSpec& spec = item.problem.spec();
    nlohmann::ordered_json json;
    json["variant"] = spec.row().name;
    json["formula"] = spec.row().formula;
    json["shape"] = {{"E", spec.experts},
                     {"M", item.problem.rows()},
                     {"N", spec.n},
                     {"K", spec.k},
                     {"rows_max", item.problem.rows_max()},
                     {"rows_min", item.problem.rows_min()},
                     {"experts_used", item.problem.experts_used()}};
    json["m_indptr"] = std::vector<std::int32_t>(item.problem.m_indptr().begin(), item.problem.m_indptr().end());
    for (const TensorSpec& tensor : item.tensors) {
        json["tensors"].push_back({{"name", tensor.name},
                                   {"dtype", info(tensor.dtype).name},
                                   {"shape", tensor.shape},
                                   {"layout", layout_of(tensor, spec)},
                                   {"bytes", tensor.bytes}});
    }
    json["read_bytes"] = item.counts.read_bytes;
    json["write_bytes"] = item.counts.write_bytes;
    json["io_bytes"] = item.counts.io_bytes;
    json["calc_flops"] = item.counts.flops;
    json["calc_mem_ratio"] = intensity(item.counts);
    json["providers"] = nlohmann::ordered_json::object();
    for (const auto& [name, support] : item.providers) {
        json["providers"][name] = {{"supported", support.supported}, {"reason", support.reason}};
    }
    std::cout << json.dump(2) << '\n';
}

void print_text(const Explanation& item) {
    const GemmSpec& spec = item.problem.spec();
    const Problem& problem = item.problem;
    std::cout << fmt::format("variant   {}: y[i, n] = {}\n", spec.row().name, spec.row().formula);
    std::cout << fmt::format("sizes     E {}, M {}, N {}, K {}\n", spec.experts, problem.rows(), spec.n, spec.k);
    std::cout << fmt::format("routing   {} of {} experts have rows, {} to {} each\n\n", problem.experts_used(),
                             spec.experts, problem.rows_min(), problem.rows_max());
    std::vector<std::vector<std::string>> rows{{"tensor", "dtype", "shape", "layout", "bytes"}};
    for (const TensorSpec& tensor : item.tensors) {
        rows.push_back({tensor.name, std::string(info(tensor.dtype).name),
                        fmt::format("({})", fmt::join(tensor.shape, ", ")), std::string(layout_of(tensor, spec)),
                        fmt::format("{} ({})", tensor.bytes, bytes_text(tensor.bytes))});
    }
    print_columns(rows);
    const Accounting& counts = item.counts;
    std::cout << fmt::format(
        "\nreads     {} bytes ({}), with E row counts and E offsets of 4 bytes\nwrites    {} bytes ({})\nFLOPs     {} "
        "({:.4g} GFLOP)\nintensity {:.4g} FLOPs a byte\n\n",
        counts.read_bytes, bytes_text(counts.read_bytes), counts.write_bytes, bytes_text(counts.write_bytes),
        counts.flops, static_cast<double>(counts.flops) / 1e9, intensity(counts));
    rows = {{"provider", "supported"}};
    for (const auto& [name, support] : item.providers) {
        rows.push_back({name, support.supported ? "yes" : "no: " + support.reason});
    }
    print_columns(rows);
}

}  // namespace

void add_explain(CLI::App& app, Action& action) {
    CLI::App* command =
        app.add_subcommand("explain", "Show one case on paper: routing, tensors, bytes, FLOPs, support");
    command->footer(
        "Examples:\n"
        "  moegemm explain num_tokens=64 num_experts=8 topk=2 hidden_size=4096 new_hidden_size=14336 \\\n"
        "      dtype=bfloat16 w_dtype=mxfp4 compute_dtype=bfloat16\n"
        "  moegemm explain num_tokens=512 num_experts=128 topk=8 ep_size=4 hidden_size=2048 new_hidden_size=1536 \\\n"
        "      dtype=int8 w_dtype=int8 --routing zipf:1 --seed 7 --json");
    auto options = std::make_shared<Options>();
    command
        ->add_option(
            "key=value", options->pairs,
            "Arguments of the op: num_tokens, hidden_size, new_hidden_size, num_experts, topk, ep_size, ep_rank, "
            "dtype, w_dtype, compute_dtype, dst_dtype, scale_layout, alpha")
        ->required();
    command->add_option("--routing", options->routing, "Spread of tokens: balanced, uniform, zipf:S or counts:FILE")
        ->type_name("KIND");
    command->add_option("--seed", options->seed, "Of the routing")->check(not_negative())->type_name("NUMBER");
    command->add_flag("--json", options->json, "Print JSON");
    add_plugin_option(*command, options->plugins);
    command->callback([options, &action] {
        action = [options] {
            const OpenRegistry open = open_registry(options->plugins);
            const Explanation item = explain(*options, open.registry);
            options->json ? print_json(item) : print_text(item);
            return open.failed ? exit_failed : exit_ok;
        };
    });
}

}  // namespace moegemm::cli
