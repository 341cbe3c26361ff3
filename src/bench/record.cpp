#include "bench/record.hpp"

#include <array>
#include <cstddef>
#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <moegemm/tensor.hpp>

namespace moegemm::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 5> status_names{"ok", "unsupported", "error", "wrong", "planned"};
constexpr std::array<std::string_view, 3> cache_names{"cold", "clean", "warm"};
constexpr std::array<std::string_view, 3> verify_names{"sample", "full", "off"};

template <class T>
Json nullable(const std::optional<T>& value) {
    return value ? Json(*value) : Json(nullptr);
}

/// Three decimals: of microseconds that is the clock's nanosecond.
Json rounded(const std::optional<double>& value) { return value ? Json(round3(*value)) : Json(nullptr); }

Json shape_json(const std::optional<Shape>& shape) {
    Json json;
    const auto put = [&](const char* key, std::int64_t Shape::*field) {
        json[key] = shape ? Json((*shape).*field) : Json(nullptr);
    };
    put("E", &Shape::experts);
    put("M", &Shape::rows);
    put("N", &Shape::n);
    put("K", &Shape::k);
    put("rows_max", &Shape::rows_max);
    put("rows_min", &Shape::rows_min);
    put("experts_used", &Shape::experts_used);
    return json;
}

Json targets_json(const Targets& targets) {
    Json json;
    json["latency(us)"] = nullable(targets.latency_us);
    json["read_bytes(B)"] = nullable(targets.read_bytes);
    json["write_bytes(B)"] = nullable(targets.write_bytes);
    json["io_bytes(B)"] = nullable(targets.io_bytes);
    json["mem_bw(GB/s)"] = nullable(targets.mem_bw_gbs);
    json["calc_flops"] = nullable(targets.calc_flops);
    json["calc_flops_power(tflops)"] = nullable(targets.calc_flops_power_tflops);
    json["calc_mem_ratio"] = nullable(targets.calc_mem_ratio);
    json["kernels"] = targets.kernels;
    return json;
}

Json measurement_json(const std::optional<Measurement>& measured) {
    Json json;
    const auto put = [&](const char* key, auto Measurement::*field) {
        json[key] = measured ? Json((*measured).*field) : Json(nullptr);
    };
    const auto put_us = [&](const char* key, double Measurement::*field) {
        json[key] = measured ? Json(round3((*measured).*field)) : Json(nullptr);
    };
    const auto put_optional = [&](const char* key, std::optional<double> Measurement::*field) {
        json[key] = measured ? rounded((*measured).*field) : Json(nullptr);
    };
    put("samples", &Measurement::samples);
    put_us("min_us", &Measurement::min_us);
    put_us("p25_us", &Measurement::p25_us);
    put_us("median_us", &Measurement::median_us);
    put_us("p75_us", &Measurement::p75_us);
    put_us("max_us", &Measurement::max_us);
    put_optional("interval_percent", &Measurement::interval_percent);
    put("converged", &Measurement::converged);
    json["cache"] = measured ? Json(to_string(measured->cache)) : Json(nullptr);
    put("inexact", &Measurement::inexact);
    put("method", &Measurement::method);
    put_optional("empty_us", &Measurement::empty_us);
    put_optional("graph_us", &Measurement::graph_us);
    put("host_counts", &Measurement::host_counts);
    put_optional("clock_mhz", &Measurement::clock_mhz);
    put_optional("power_w", &Measurement::power_w);
    put_optional("plan_us", &Measurement::plan_us);
    put_optional("pack_us", &Measurement::pack_us);
    put("packed_bytes", &Measurement::packed_bytes);
    put_optional("first_us", &Measurement::first_us);
    return json;
}

Json verification_json(const std::optional<Verification>& verification) {
    Json json;
    json["mode"] = verification ? Json(to_string(verification->mode)) : Json(nullptr);
    json["checked"] = verification ? Json(verification->checked) : Json(nullptr);
    json["relative_norm"] = verification ? nullable(verification->relative_norm) : Json(nullptr);
    json["relative_max"] = verification ? nullable(verification->relative_max) : Json(nullptr);
    return json;
}

}  // namespace

std::string_view to_string(Status status) noexcept { return status_names[static_cast<std::size_t>(status)]; }
std::string_view to_string(CacheRule rule) noexcept { return cache_names[static_cast<std::size_t>(rule)]; }
std::string_view to_string(VerifyMode mode) noexcept { return verify_names[static_cast<std::size_t>(mode)]; }

double round3(double value) {
    // printf rounds the exact binary value correctly, ties to even, as Python's round() does; scaling by 1000 would
    // not.
    return std::strtod(fmt::format("{:.3f}", value).c_str(), nullptr);
}

Shape shape_of(const Problem& problem) {
    const GemmSpec& spec = problem.spec();
    return {.experts = spec.experts,
            .rows = problem.rows(),
            .n = spec.n,
            .k = spec.k,
            .rows_max = problem.rows_max(),
            .rows_min = problem.rows_min(),
            .experts_used = problem.experts_used()};
}

Targets targets_of(const Problem& problem) {
    const Accounting accounting = account(problem);
    Targets targets;
    targets.read_bytes = accounting.read_bytes;
    targets.write_bytes = accounting.write_bytes;
    targets.io_bytes = accounting.io_bytes;
    targets.calc_flops = accounting.flops;
    targets.calc_mem_ratio =
        accounting.io_bytes == 0
            ? 0.0
            : round3(static_cast<double>(accounting.flops) / static_cast<double>(accounting.io_bytes));
    return targets;
}

void set_latency(Targets& targets, double latency_us) {
    targets.latency_us = round3(latency_us);
    targets.mem_bw_gbs = round3(static_cast<double>(targets.io_bytes.value()) / latency_us / 1e3);
    targets.calc_flops_power_tflops = round3(static_cast<double>(targets.calc_flops.value()) / latency_us / 1e6);
}

std::vector<std::pair<std::string, ArgumentValue>> argument_pairs(const Arguments& arguments, const Routing& routing) {
    return {{"arg_type", arguments.arg_type},
            {"num_tokens", arguments.routing.num_tokens},
            {"hidden_size", arguments.hidden_size},
            {"new_hidden_size", arguments.new_hidden_size},
            {"num_experts", arguments.routing.num_experts},
            {"topk", arguments.routing.topk},
            {"ep_size", arguments.routing.ep_size},
            {"ep_rank", arguments.routing.ep_rank},
            {"dtype", arguments.dtype},
            {"w_dtype", arguments.w_dtype},
            {"compute_dtype", arguments.compute_dtype},
            {"dst_dtype", arguments.dst_dtype},
            {"scale_layout", arguments.scale_layout},
            {"alpha", arguments.alpha},
            {"routing", routing.text},
            {"seed", static_cast<std::int64_t>(routing.seed)}};
}

Json to_json(const ArgumentValue& value) {
    return std::visit(
        [](const auto& held) {
            if constexpr (std::is_same_v<std::decay_t<decltype(held)>, std::monostate>) {
                return Json(nullptr);
            } else {
                return Json(held);
            }
        },
        value);
}

Json to_json(const Record& record) {
    Json json;
    json["op_name"] = op_name;
    json["sku_name"] = record.sku_name;
    json["provider"] = record.provider;
    json["variant"] = record.variant ? Json(info(*record.variant).name) : Json(nullptr);
    json["status"] = to_string(record.status);
    json["reason"] = record.reason;
    Json arguments = Json::object();
    for (const auto& [key, value] : record.arguments) {
        arguments[key] = to_json(value);
    }
    json["arguments"] = std::move(arguments);
    json["ignored"] = record.ignored;
    json["shape"] = shape_json(record.shape);
    json["targets"] = targets_json(record.targets);
    json["measurement"] = measurement_json(record.measurement);
    json["floor"] = {{"read_us", rounded(record.floor.read_us)},
                     {"compute_us", rounded(record.floor.compute_us)},
                     {"ratio", rounded(record.floor.ratio)}};
    json["verification"] = verification_json(record.verification);
    return json;
}

}  // namespace moegemm::bench
