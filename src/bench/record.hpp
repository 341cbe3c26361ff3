/// \file
/// What one run of a case by a provider left behind: one line of `records.jsonl`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <moegemm/problem.hpp>
#include <nlohmann/json_fwd.hpp>

namespace moegemm::bench {

/// The op's name in workload files and reports.
inline constexpr std::string_view op_name = "moe_quant_group_gemm";

/// How a case ended.
enum class Status : std::uint8_t {
    ok,           ///< measured, and its output verified where that was asked for
    unsupported,  ///< the provider gave a reason why it does not run this case
    error,        ///< bad arguments, too little memory, or a provider that threw
    wrong,        ///< the output did not verify; there is no time then
    planned,      ///< a dry run
};
[[nodiscard]] std::string_view to_string(Status status) noexcept;

/// What is overwritten, read or left alone between timed calls.
enum class CacheRule : std::uint8_t {
    cold,   ///< a buffer several times the last-level cache is overwritten
    clean,  ///< the same buffer is read
    warm,   ///< nothing
};
[[nodiscard]] std::string_view to_string(CacheRule rule) noexcept;

/// How much of the output is held against the reference.
enum class VerifyMode : std::uint8_t {
    sample,  ///< whole where it is small, else chosen and random elements; every element must have been written
    full,    ///< every element
    off,
};
[[nodiscard]] std::string_view to_string(VerifyMode mode) noexcept;

/// The routed problem's sizes.
struct Shape {
    std::int64_t experts = 0;   ///< E
    std::int64_t rows = 0;      ///< M
    std::int64_t n = 0;         ///< N
    std::int64_t k = 0;         ///< K
    std::int64_t rows_max = 0;  ///< of any expert
    std::int64_t rows_min = 0;  ///< of any expert
    std::int64_t experts_used = 0;
};
[[nodiscard]] Shape shape_of(const Problem& problem);

/// xpu-perf's figures, in its units and rounded as it rounds (BasicOp.summary).
struct Targets {
    std::optional<double> latency_us;  ///< the median
    std::optional<std::int64_t> read_bytes;
    std::optional<std::int64_t> write_bytes;
    std::optional<std::int64_t> io_bytes;
    std::optional<double> mem_bw_gbs;  ///< io_bytes over the unrounded latency
    std::optional<std::int64_t> calc_flops;
    std::optional<double> calc_flops_power_tflops;
    std::optional<double> calc_mem_ratio;  ///< FLOPs a byte
    std::vector<std::string> kernels;
};
/// The counts of a problem, without any time.
[[nodiscard]] Targets targets_of(const Problem& problem);
/// Fills in what follows from a latency: rates are computed from the unrounded one.
void set_latency(Targets& targets, double latency_us);

/// The timed calls.
struct Measurement {
    std::int64_t samples = 0;
    double min_us = 0;
    double p25_us = 0;
    double median_us = 0;
    double p75_us = 0;
    double max_us = 0;
    /// Half-width of the median's 95 % interval, in percent of the median; absent below six samples.
    std::optional<double> interval_percent;
    bool converged = false;  ///< whether that interval came within 1 % before the time was up
    CacheRule cache = CacheRule::cold;
    bool inexact = false;             ///< whether the plan was allowed to round operands
    std::string method;               ///< "steady-clock", "cuda-events"
    std::optional<double> empty_us;   ///< an empty call (a GPU's: an empty kernel), timed by the same rule
    std::optional<double> graph_us;   ///< the call out of a CUDA graph
    bool host_counts = false;         ///< whether the provider was given m_indptr on the host
    std::optional<double> clock_mhz;  ///< mean over the samples, where the device tells
    std::optional<double> power_w;    ///< likewise
    std::optional<double> pack_us;    ///< re-ordering the weights, once; absent where the plan does not pack
    std::int64_t packed_bytes = 0;    ///< of re-ordered weights
    std::optional<double> first_us;   ///< the first call, which is not among the samples
    std::optional<double> plan_us;    ///< Provider::plan
};

/// What the same machine needs at least, measured in the same run.
struct Floor {
    std::optional<double> read_us;     ///< a pure read of the bytes that the call must read, by the same cache rule
    std::optional<double> compute_us;  ///< one dense product of the same M, N, K
    std::optional<double> ratio;       ///< median over the larger of the two
};

/// The outcome of holding y against the reference.
struct Verification {
    VerifyMode mode = VerifyMode::off;
    std::int64_t checked = 0;             ///< elements compared
    std::optional<double> relative_norm;  ///< ‖y − expected‖ / ‖expected‖
    std::optional<double> relative_max;   ///< the largest over rows of max |y − expected| / max |expected|
};

/// One case × provider. What was not measured is absent, and null in JSON.
struct Record {
    std::string sku_name;  ///< the device's
    std::string provider;
    std::optional<Variant> variant;  ///< absent where the arguments name none
    Status status = Status::planned;
    std::string reason;  ///< empty for ok and planned
    /// With every default filled in, "routing" and "seed" last. Where the arguments are bad: as they came.
    std::vector<std::pair<std::string, ArgumentValue>> arguments;
    std::vector<std::string> ignored;  ///< keys of the case that the op does not know
    std::optional<Shape> shape;
    Targets targets;
    std::optional<Measurement> measurement;
    Floor floor;
    std::optional<Verification> verification;
};

/// The op's arguments in the order of their records, "routing" and "seed" last.
[[nodiscard]] std::vector<std::pair<std::string, ArgumentValue>> argument_pairs(const Arguments& arguments,
                                                                                const Routing& routing);

/// The record as one JSON object; all keys are there always.
[[nodiscard]] nlohmann::ordered_json to_json(const Record& record);
/// A workload's value as JSON: monostate is null.
[[nodiscard]] nlohmann::ordered_json to_json(const ArgumentValue& value);

/// `value` rounded to three decimals as Python's round() does: correctly, ties to even.
[[nodiscard]] double round3(double value);

}  // namespace moegemm::bench
