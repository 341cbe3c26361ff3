#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bench/csv_sink.hpp"
#include "bench/device.hpp"
#include "bench/jsonl_sink.hpp"
#include "bench/machine.hpp"
#include "bench/runner.hpp"
#include "bench/table_sink.hpp"
#include "bench/workload.hpp"
#include "bench/workload_filter.hpp"
#include "bench/xpu_perf_sink.hpp"
#include "cli/command.hpp"
#include "cli/console.hpp"
#include "cli/interrupt.hpp"
#include "cli/plan_listing.hpp"
#include "cli/quick_start.hpp"
#include "cli/run_summary.hpp"

#include <moegemm/error.hpp>

namespace moegemm::cli {
namespace {

const std::map<std::string, bench::CacheRule> cache_rules{
    {"cold", bench::CacheRule::cold}, {"clean", bench::CacheRule::clean}, {"warm", bench::CacheRule::warm}};
const std::map<std::string, bench::VerifyMode> verify_modes{
    {"sample", bench::VerifyMode::sample}, {"full", bench::VerifyMode::full}, {"off", bench::VerifyMode::off}};

/// Seconds a case of the quick start: it is to end within two minutes.
constexpr double quick_start_max_time = 1.0;

struct Options {
    std::vector<std::string> files;
    std::string providers;
    std::string device = "cpu";
    std::string variants;
    std::vector<std::string> filters;
    std::optional<std::int64_t> limit;
    std::string routing = "balanced";
    std::uint64_t seed = 0;
    std::string out;
    std::string verify = "sample";
    std::string cache = "cold";
    int threads = 0;
    std::optional<double> min_time;
    std::optional<double> max_time;
    bool inexact = false;
    bool graph = false;
    bool dry_run = false;
    std::vector<std::string> formats;
    std::vector<std::string> plugins;

    [[nodiscard]] bool wants(std::string_view format) const {
        return std::find(formats.begin(), formats.end(), format) != formats.end();
    }
};

std::vector<bench::Case> read_cases(const Options& options) {
    std::vector<bench::Case> cases;
    const auto take = [&](bench::Workload workload, const std::string& name) {
        for (const bench::SkippedOp& op : workload.skipped) {
            say(fmt::format("{}: skipped {} entries of op {}{}{}", name, op.entries, op.name,
                            op.hint.empty() ? "" : "; ", op.hint));
        }
        std::move(workload.cases.begin(), workload.cases.end(), std::back_inserter(cases));
    };
    if (options.files.empty()) {
        take(bench::parse_workload_json(quick_start, "quick start"), "quick start");
    }
    for (const std::string& file : options.files) {
        take(bench::read_workload(file), file);
    }
    std::vector<bench::Filter> filters;
    for (const std::string& text : options.filters) {
        bench::parse_filter(text, filters);
    }
    std::vector<Variant> wanted;
    if (!options.variants.empty()) {
        wanted = bench::parse_variants(options.variants);
    }
    bench::select_cases(cases, filters, wanted);
    if (options.limit && *options.limit < static_cast<std::int64_t>(cases.size())) {
        cases.resize(static_cast<std::size_t>(*options.limit));
    }
    return cases;
}

/// The providers that were asked for, or every available one of the device but the reference, which is no contender.
std::vector<std::shared_ptr<const Provider>> choose_providers(const Options& options, const Registry& registry,
                                                              const bench::Device& device) {
    if (!options.providers.empty()) {
        return select_providers(registry, options.providers);
    }
    std::vector<std::shared_ptr<const Provider>> chosen = available_providers(registry, device.dl());
    std::erase_if(chosen, [](const auto& provider) { return provider->info().name == "reference"; });
    if (chosen.empty()) {
        throw Error(ErrorCode::unsupported, "--device", options.device,
                    "a device that an available provider runs on: see moegemm providers");
    }
    return chosen;
}

/// Takes the status line away before a row of the table is written.
class ClearStatusLine final : public bench::Sink {
public:
    explicit ClearStatusLine(StatusLine& line) : line_(line) {}
    void write(const bench::Record& /*record*/) override { line_.clear(); }

private:
    StatusLine& line_;
};

/// The sinks of a run, in the order in which they take a record.
class Sinks {
public:
    Sinks(const Options& options, const bench::Device& device,
          const std::vector<std::shared_ptr<const Provider>>& providers, StatusLine& line) {
        add<ClearStatusLine>(line);
        measured_ = add<MeasuredFloors>();
        if (!options.out.empty()) {
            const std::filesystem::path folder(options.out);
            add<bench::JsonlSink>(bench::OutputFile::create(folder / "records.jsonl"));
            bench::Machine machine = bench::probe_machine();
            machine.device = device.details();
            for (const auto& provider : providers) {
                machine.providers.emplace_back(provider->info().name, provider->info().version);
            }
            bench::write_machine(folder, machine);
            if (options.wants("csv")) {
                add<bench::CsvSink>(bench::OutputFile::create(folder / "records.csv"));
            }
            if (options.wants("xpu-perf")) {
                add<bench::XpuPerfSink>(folder, std::string(device.backend()));
            }
        } else if (options.wants("xpu-perf")) {
            throw Error(ErrorCode::invalid_argument, "--format", "xpu-perf without --out",
                        "xpu-perf with --out DIR, where its report tree goes");
        }
        if (options.wants("jsonl")) {
            add<bench::JsonlSink>(bench::OutputFile::standard_output());
        } else if (options.wants("csv")) {
            add<bench::CsvSink>(bench::OutputFile::standard_output());
        } else if (!options.dry_run) {
            add<bench::TableSink>(std::cout);
            table_ = true;
        }
    }

    [[nodiscard]] std::vector<bench::Sink*> pointers() const {
        std::vector<bench::Sink*> all;
        std::transform(owned_.begin(), owned_.end(), std::back_inserter(all),
                       [](const auto& sink) { return sink.get(); });
        return all;
    }
    [[nodiscard]] const MeasuredFloors& measured() const noexcept { return *measured_; }
    [[nodiscard]] bool table() const noexcept { return table_; }

private:
    template <class S, class... Arguments>
    S* add(Arguments&&... arguments) {
        auto sink = std::make_unique<S>(std::forward<Arguments>(arguments)...);
        S* pointer = sink.get();
        owned_.push_back(std::move(sink));
        return pointer;
    }

    std::vector<std::unique_ptr<bench::Sink>> owned_;
    MeasuredFloors* measured_ = nullptr;
    bool table_ = false;
};

bench::RunOptions run_options(const Options& options, StatusLine& line) {
    bench::RunOptions run;
    run.routing = options.routing;
    run.seed = options.seed;
    run.cache = cache_rules.at(options.cache);
    run.verify = verify_modes.at(options.verify);
    run.max_time = options.max_time.value_or(options.files.empty() ? quick_start_max_time : run.max_time);
    run.min_time = options.min_time.value_or(std::clamp(run.max_time, 0.0, run.min_time));
    run.inexact = options.inexact;
    run.graph = options.graph;
    run.dry_run = options.dry_run;
    run.interrupt = &interrupted();
    run.progress = [&line](const bench::Progress& progress) {
        line.show(fmt::format("[{}/{}] {}: {}: {}", progress.done + 1, progress.total, progress.source,
                              progress.provider, progress.step));
    };
    run.message = [&line](const std::string& message) {
        line.clear();
        say(message);
    };
    return run;
}

int bench_command(const Options& options) {
    const OpenRegistry open = open_registry(options.plugins);
    const std::vector<bench::Case> cases = read_cases(options);
    const Routing routing = Routing::parse(options.routing, options.seed);
    const std::unique_ptr<bench::Device> device = bench::make_device(options.device, options.threads);
    StatusLine line;
    bench::RunOptions run = run_options(options, line);
    run.providers = choose_providers(options, open.registry, *device);
    // Nothing is written before everything of the command line has been understood.
    const Sinks sinks(options, *device, run.providers, line);
    bench::Runner runner(std::move(run), *device, sinks.pointers());
    bench::RunSummary summary;
    try {
        if (options.dry_run && !options.wants("jsonl") && !options.wants("csv")) {
            print_plan(cases, routing);
        }
        summary = runner.run(cases);
        if (sinks.table()) {
            sinks.measured().print(*device);
        }
    } catch (const Error& error) {
        line.clear();
        say(error.what());
        return exit_failed;
    }
    line.clear();
    say(describe(summary, cases.size(), options.out));
    const bool failed = summary.errors > 0 || summary.wrong > 0 || open.failed;
    return failed ? exit_failed : exit_ok;
}

void add_case_options(CLI::App& command, Options& options) {
    command.add_option("FILE", options.files,
                       "Workload files of xpu-perf's grammar, .json or .csv (default: the built-in quick start)");
    command.add_option("--variant", options.variants, "Only cases of these variants: see moegemm variants")
        ->type_name("V,...");
    command
        .add_option("--filter", options.filters,
                    "Only cases with these values, several of a key separated by | (repeatable)")
        ->type_name("KEY=VALUE,...")
        ->expected(1)
        ->take_all();
    command.add_option("--limit", options.limit, "Only the first N of the cases that are left")
        ->check(not_negative())
        ->type_name("N");
    command.add_option("--routing", options.routing, "Spread of tokens: balanced, uniform, zipf:S or counts:FILE")
        ->type_name("KIND")
        ->capture_default_str();
    command.add_option("--seed", options.seed, "Of the routing and the operands")
        ->check(not_negative())
        ->type_name("NUMBER")
        ->capture_default_str();
}

void add_run_options(CLI::App& command, Options& options) {
    command.add_option("--provider", options.providers, "Providers (default: every available one but reference)")
        ->type_name("NAME,...");
    command.add_option("--device", options.device, "cpu or cuda:0")->type_name("DEVICE")->capture_default_str();
    command.add_option("--threads", options.threads, "CPU threads (default: all that the process may run on)")
        ->check(CLI::Range(1, 1 << 16))
        ->type_name("COUNT");
    command.add_option("--verify", options.verify, "How much of each output is compared: sample, full or off")
        ->check(CLI::IsMember({"sample", "full", "off"}))
        ->type_name("MODE")
        ->capture_default_str();
    command
        .add_option("--cache", options.cache,
                    "Between calls the last-level cache is overwritten (cold), read over (clean) or left alone (warm)")
        ->check(CLI::IsMember({"cold", "clean", "warm"}))
        ->type_name("RULE")
        ->capture_default_str();
    command.add_option("--min-time", options.min_time, "Least seconds of timed calls a case (default: 0.05)")
        ->type_name("SECONDS");
    command
        .add_option("--max-time", options.max_time, "Most seconds of timed calls a case (default: 2; quick start: 1)")
        ->type_name("SECONDS");
    command.add_flag("--inexact", options.inexact, "Let providers round operands where that lets faster kernels run");
    command.add_flag("--graph", options.graph, "Also time each call out of a CUDA graph (graph_us in the records)");
    command.add_flag("--dry-run", options.dry_run, "Print cases, tensors and bytes; run nothing");
    add_plugin_option(command, options.plugins);
}

void add_report_options(CLI::App& command, Options& options) {
    command.add_option("--out", options.out, "Folder for records.jsonl and machine.json")->type_name("DIR");
    command
        .add_option("--format", options.formats,
                    "table; jsonl or csv: records on standard output instead of the table (csv with --out: also "
                    "DIR/records.csv); xpu-perf: also that suite's report tree in DIR")
        ->check(CLI::IsMember({"table", "jsonl", "csv", "xpu-perf"}))
        ->delimiter(',')
        ->type_name("FORMAT,...");
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("bench", "Measure the cases of workload files, and verify every output");
    command->footer(
        "Examples:\n"
        "  moegemm bench\n"
        "  moegemm bench workloads/roofline.json --variant mxfp4,int8 --filter \"num_tokens=16|128\" --out results\n"
        "  moegemm bench workloads/xpu_perf/moe_quant_group_gemm.json --dry-run\n"
        "  moegemm bench FILE.csv --provider cpu,reference --routing zipf:1 --seed 7 --verify full");
    auto options = std::make_shared<Options>();
    add_case_options(*command, *options);
    add_run_options(*command, *options);
    add_report_options(*command, *options);
    command->callback([options, &action] { action = [options] { return bench_command(*options); }; });
}

}  // namespace moegemm::cli
