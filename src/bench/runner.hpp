/// \file
/// Runs cases on providers: arguments to problem, plan, pack, verify, time, record. Whatever goes wrong with one case
/// is that case's record; the next one runs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <moegemm/provider.hpp>

#include "bench/case.hpp"
#include "bench/device.hpp"
#include "bench/record.hpp"
#include "bench/sink.hpp"
#include "bench/thread_team.hpp"
#include "bench/timing.hpp"

namespace moegemm::bench {

/// Where a run stands; told before each case × provider and at each of its steps.
struct Progress {
    std::size_t done;           ///< case × provider pairs that have ended
    std::size_t total;          ///< of the run
    const std::string& source;  ///< Case::source
    std::string_view provider;
    std::string_view step;  ///< "fill", "reference", "pack", "verify", "time", "floor"
};

/// What a run is asked to do.
struct RunOptions {
    std::vector<std::shared_ptr<const Provider>> providers;  ///< every case runs on each, in this order
    std::string routing = "balanced";                        ///< as Routing::parse takes it; of cases without their own
    std::uint64_t seed = 0;                                  ///< of the routing and of the operands
    CacheRule cache = CacheRule::cold;
    VerifyMode verify = VerifyMode::sample;
    double min_time = 0.05;                         ///< seconds of sampling a case × provider, at least
    double max_time = 2.0;                          ///< and at most, converged or not
    bool inexact = false;                           ///< PlanOptions::inexact
    bool graph = false;                             ///< also time the call out of a CUDA graph
    bool dry_run = false;                           ///< plan nothing, allocate nothing: records of status planned
    const std::atomic<bool>* interrupt = nullptr;   ///< set by a signal handler: ends the record in hand, then the run
    std::function<void(const Progress&)> progress;  ///< may be empty
    std::function<void(const std::string&)> message;  ///< a line for stderr, such as ignored keys; may be empty
};

/// How the case × provider pairs ended.
struct RunSummary {
    std::int64_t ok = 0;
    std::int64_t unsupported = 0;
    std::int64_t errors = 0;
    std::int64_t wrong = 0;
    std::int64_t planned = 0;
    bool interrupted = false;
};

/// See the file.
class Runner {
public:
    /// \param device where the cases run: make_device("cpu", threads)
    /// \param sinks  every record goes to each; they must outlive the runner
    /// \throws Error invalid_argument ("routing", "min-time", "max-time"), or as Routing::parse
    Runner(RunOptions options, Device& device, std::vector<Sink*> sinks);

    /// Runs all cases and finishes the sinks, also after an interrupt.
    /// \throws Error io from a sink: a record that cannot be kept ends the run
    RunSummary run(std::span<const Case> cases);

private:
    struct CaseState;
    void run_case(const Case& item);
    void run_provider(CaseState& state, const Provider& provider, Record& record);
    void measure(CaseState& state, const Provider& provider, Plan& plan, Record& record);
    [[nodiscard]] SampleSummary sample(const CaseState& state, const StoppingRule& rule,
                                       const std::function<void()>& call, Record& record);
    [[nodiscard]] std::function<double()> dense_sample(const CaseState& state);
    void prepare(CaseState& state, std::int64_t plan_bytes);
    void emit(const Record& record);
    void tell(const CaseState& state, std::string_view step) const;
    void report_ignored(const CaseState& state);
    [[nodiscard]] double empty_us();
    [[nodiscard]] bool interrupted() const noexcept;

    RunOptions options_;
    Routing routing_;
    Device& device_;
    std::vector<Sink*> sinks_;
    ThreadTeam team_;  ///< for the host's part of a run: the reference
    RunSummary summary_;
    std::size_t done_ = 0;
    std::size_t total_ = 0;
    std::optional<double> empty_us_;
    std::vector<std::vector<std::string>> reported_;
};

}  // namespace moegemm::bench
