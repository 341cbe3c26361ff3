#include "bench/runner.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <initializer_list>
#include <new>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include "bench/guarded_buffer.hpp"
#include "bench/timing.hpp"
#include "bench/verification.hpp"
#include "op/checked.hpp"

namespace moegemm::bench {

/// What a case needs on every provider, made when the first one is about to run it.
struct Runner::CaseState {
    explicit CaseState(const Case& of) : item(of) {}

    const Case& item;
    std::string_view provider;
    std::vector<std::string> ignored;
    std::optional<Problem> problem;

    Floor floor;
    Operands operands;
    std::vector<std::shared_ptr<void>> memory;  ///< of the inputs
    std::optional<GuardedBuffer> y;
    std::unique_ptr<OperandRows> rows;
    std::optional<Verifier> verifier;
    bool prepared = false;
};

namespace {

/// An 8-bit product has a faster floor than one of bf16, which all variants with smaller elements are decoded to.
ComputeClass compute_class(const GemmSpec& spec) {
    if (spec.a == DType::i8) {
        return ComputeClass::int8;
    }
    const bool floats8 = (spec.a == DType::e4m3 || spec.a == DType::e5m2) && spec.row().scaling != Scaling::group;
    return floats8 ? ComputeClass::fp8 : ComputeClass::bf16;
}

Tensor bytes_tensor(const GuardedBuffer& buffer, DLDevice device) {
    return {buffer.data(), DType::u8, {buffer.bytes()}, device};
}

void note_failure(Record& record, std::string_view code, std::string_view what) {
    record.status = Status::error;
    record.reason = fmt::format("{}: {}", code, what);
}

/// Runs `work`; what it throws becomes the record's status and reason.
template <class Work>
void guarded(Record& record, const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        note_failure(record, to_string(error.code()), error.what());
    } catch (const std::bad_alloc&) {
        note_failure(record, to_string(ErrorCode::out_of_memory), "the system gave no more memory");
    } catch (const std::exception& error) {
        note_failure(record, to_string(ErrorCode::internal), error.what());
    } catch (...) {
        note_failure(record, to_string(ErrorCode::internal), "an exception that is no std::exception");
    }
    if (record.status == Status::error || record.status == Status::wrong) {
        record.measurement.reset();
        record.floor = {};
    }
}

double timed_us(const std::function<void()>& work) {
    const double start = steady_seconds();
    work();
    return (steady_seconds() - start) * 1e6;
}

}  // namespace

Runner::Runner(RunOptions options, Device& device, std::vector<Sink*> sinks)
    : options_(std::move(options)),
      routing_(Routing::parse(options_.routing, options_.seed)),
      device_(device),
      sinks_(std::move(sinks)),
      team_(allowed_threads()) {
    const auto check_seconds = [](const char* name, double value, double least) {
        if (!(value >= least) || !std::isfinite(value)) {
            throw Error(ErrorCode::invalid_argument, name, fmt::format("{}", value),
                        fmt::format("seconds, at least {}", least));
        }
    };
    check_seconds("min-time", options_.min_time, 0.0);
    check_seconds("max-time", options_.max_time, options_.min_time);
}

RunSummary Runner::run(std::span<const Case> cases) {
    summary_ = {};
    done_ = 0;
    total_ = cases.size() * options_.providers.size();
    for (const Case& item : cases) {
        if (interrupted()) {
            break;
        }
        run_case(item);
    }
    summary_.interrupted = interrupted();
    for (Sink* const sink : sinks_) {
        sink->finish();
    }
    return summary_;
}

void Runner::run_case(const Case& item) {
    CaseState state(item);
    Record common;
    common.sku_name = device_.sku_name();
    common.arguments = item.arguments;
    common.arguments.emplace_back("routing", item.routing.empty() ? routing_.text : item.routing);
    common.arguments.emplace_back("seed", static_cast<std::int64_t>(routing_.seed));
    guarded(common, [&] {
        Arguments arguments = Arguments::from(item.arguments, &state.ignored);
        common.ignored = state.ignored;
        report_ignored(state);
        common.variant =
            resolve_variant(arguments.dtype, arguments.w_dtype, arguments.compute_dtype, arguments.dst_dtype).variant;
        const Routing routing = routing_of(item, routing_);
        state.problem = Problem::from(arguments, routing);
        arguments.scale_layout = to_string(state.problem->spec().scale_layout);
        arguments.alpha = state.problem->spec().has_alpha;
        common.arguments = argument_pairs(arguments, routing);
        common.shape = shape_of(*state.problem);
        common.targets = targets_of(*state.problem);
    });
    for (const auto& provider : options_.providers) {
        if (interrupted()) {
            return;
        }
        Record record = common;
        record.provider = provider->info().name;
        state.provider = record.provider;
        tell(state, "plan");
        if (record.status != Status::error) {
            guarded(record, [&] { run_provider(state, *provider, record); });
        }
        emit(record);
    }
}

void Runner::run_provider(CaseState& state, const Provider& provider, Record& record) {
    const GemmSpec& spec = state.problem->spec();
    const Support support =
        provider.info().device_type == device_.dl().device_type
            ? provider.supports(spec)
            : Support::no(fmt::format("its tensors do not live on this run's device, {}", device_.sku_name()));
    if (options_.dry_run) {
        record.status = Status::planned;
        record.reason = support.supported ? "" : "unsupported: " + support.reason;
        return;
    }
    if (!support.supported) {
        record.status = Status::unsupported;
        record.reason = support.reason;
        return;
    }
    PlanOptions plan_options;
    plan_options.device = device_.dl();
    plan_options.threads = device_.threads();
    plan_options.inexact = options_.inexact;
    std::unique_ptr<Plan> plan;
    const double plan_us = timed_us([&] { plan = provider.plan(spec, plan_options); });
    record.targets.kernels = plan->kernels();
    record.measurement.emplace();
    record.measurement->plan_us = plan_us;
    measure(state, provider, *plan, record);
}

/// Everything that all providers of a case share. Says so before it allocates more than there is.
void Runner::prepare(CaseState& state, std::int64_t plan_bytes) {
    const Problem& problem = *state.problem;
    const std::vector<TensorSpec> specs = tensor_specs(problem.spec(), problem.rows());
    std::int64_t needed = plan_bytes;
    if (!state.prepared) {
        needed = checked_add(needed, device_.own_bytes(options_.cache), "memory");
        for (const TensorSpec& tensor : specs) {
            needed = checked_add(needed, tensor.bytes, "memory");
        }
        if (device_.dl().device_type == kDLCPU) {
            needed = checked_add(needed, Verifier::bytes_needed(problem, options_.verify), "memory");
        }
    }
    if (const std::int64_t available = device_.available_bytes(); needed > available) {
        throw Error(ErrorCode::out_of_memory, "memory", fmt::format("{} bytes needed", needed),
                    fmt::format("what is available, {} bytes", available));
    }
    if (state.prepared) {
        return;
    }
    if (problem.rows() > 0 && !interrupted()) {
        tell(state, "floor");  // before the operands are there: a floor needs a buffer of its own
        const GemmSpec& spec = problem.spec();
        state.floor.read_us = device_.read_floor_us(account(problem).floor_read_bytes, options_.cache);
        state.floor.compute_us =
            device_.compute_floor_us(problem.rows(), spec.n, spec.k, compute_class(spec), options_.cache);
    }
    tell(state, "fill");
    state.memory.clear();
    for (const TensorSpec& tensor : specs) {
        if (tensor.role == Role::y) {
            state.y.emplace(device_, tensor.name, tensor.bytes);
            state.operands.y = Tensor(state.y->data(), tensor.dtype, tensor.shape, device_.dl());
        } else {
            state.memory.push_back(device_.allocate(tensor.bytes));
            state.operands[tensor.role] = Tensor(state.memory.back().get(), tensor.dtype, tensor.shape, device_.dl());
        }
    }
    device_.fill(problem, options_.seed, state.operands);
    tell(state, "reference");
    state.rows = device_.rows(problem, state.operands, options_.seed);
    state.verifier.emplace(problem, *state.rows, options_.verify, options_.seed, device_, team_);
    state.prepared = true;
}

void Runner::measure(CaseState& state, const Provider& provider, Plan& plan, Record& record) {
    const auto workspace_bytes = static_cast<std::int64_t>(plan.workspace_bytes());
    const auto packed_bytes = static_cast<std::int64_t>(plan.packed_bytes());
    prepare(state, checked_add(checked_add(workspace_bytes, packed_bytes, "memory"), 6 * GuardedBuffer::guard_bytes,
                               "memory"));
    Measurement& measured = *record.measurement;
    measured.cache = options_.cache;
    measured.inexact = options_.inexact;
    measured.method = device_.timing_method();
    measured.host_counts = provider.info().needs_host_counts;
    measured.packed_bytes = packed_bytes;

    const GuardedBuffer workspace(device_, "the workspace", workspace_bytes);
    const GuardedBuffer packed(device_, "the packed weights", packed_bytes);
    constexpr std::uint8_t dirt = 0xFF;  // a workspace holds anything, NaN for instance
    device_.set(workspace.data(), dirt, workspace_bytes);
    device_.set(packed.data(), dirt, packed_bytes);

    Operands operands = state.operands;
    if (workspace_bytes > 0) {
        operands.workspace = bytes_tensor(workspace, device_.dl());
    }
    if (measured.host_counts) {
        operands.host_m_indptr = state.problem->m_indptr().data();
    }
    if (packed_bytes > 0) {
        tell(state, "pack");
        const Tensor target = bytes_tensor(packed, device_.dl());
        measured.pack_us = device_.time(CacheRule::warm, [&] { plan.pack(state.operands, target, device_.stream()); });
        operands.packed_w = target;
    }

    const std::function<void()> call = [&] { plan.run(operands, device_.stream()); };
    const auto check = [&] {
        const Accumulation declared =
            provider.info().support[static_cast<std::size_t>(state.problem->spec().variant)].accumulation;
        OutputCheck found = state.verifier->check(
            operands.y, options_.inexact && declared == Accumulation::fp32 ? Accumulation::promoted_128 : declared);
        for (const GuardedBuffer* buffer :
             std::initializer_list<const GuardedBuffer*>{&*state.y, &workspace, &packed}) {
            if (found.reason.empty()) {
                found.reason = buffer->damage();
            }
        }
        record.verification = found.verification;
        if (!found.reason.empty()) {
            record.status = Status::wrong;
            record.reason = std::move(found.reason);
        }
        return record.status != Status::wrong;
    };

    tell(state, "verify");
    state.y->restore();  // an earlier provider may have damaged them
    Verifier::poison(device_, operands.y);
    measured.first_us = device_.time(CacheRule::warm, call);
    if (!check()) {
        return;
    }
    tell(state, "time");
    const StoppingRule rule{.min_seconds = options_.min_time, .max_seconds = options_.max_time};
    const SampleSummary samples = sample(state, rule, call, record);
    if (options_.graph) {
        if (const std::function<double()> replay = device_.replay(options_.cache, call)) {
            StoppingRule short_rule = rule;
            short_rule.max_seconds = rule.max_seconds / 4;
            short_rule.min_seconds = std::min(rule.min_seconds, short_rule.max_seconds);
            measured.graph_us = sample_until(short_rule, replay, steady_seconds, options_.interrupt).median;
        }
    }
    // What was timed must be right too, not only the first call.
    if (!check()) {
        return;
    }
    measured.samples = static_cast<std::int64_t>(samples.samples);
    measured.min_us = samples.min;
    measured.p25_us = samples.p25;
    measured.median_us = samples.median;
    measured.p75_us = samples.p75;
    measured.max_us = samples.max;
    if (samples.half_width) {
        measured.interval_percent = 100 * *samples.half_width;
    }
    measured.converged = samples.converged;
    measured.empty_us = empty_us();
    set_latency(record.targets, samples.median);
    const double floor = std::max(record.floor.read_us.value_or(0), record.floor.compute_us.value_or(0));
    if (floor > 0) {
        record.floor.ratio = samples.median / floor;
    }
    record.status = Status::ok;
}

/// Times the call until the rule is content; where the dense product is the larger floor, in pairs with it.
/// Sets the record's floor and meters.
SampleSummary Runner::sample(const CaseState& state, const StoppingRule& rule, const std::function<void()>& call,
                             Record& record) {
    // A GPU under matrix work lowers its clock to stay within its power (an H200 from 1980 to about 1620 MHz), in some
    // tenths of a second whatever one call takes, and raises it when it idles.
    constexpr double settling_seconds = 0.3;
    std::function<double()> one = [&] { return device_.time(options_.cache, call); };
    std::vector<double> dense_us;
    if (const std::function<double()> dense = dense_sample(state)) {
        // Caches that the rule leaves alone hold what the other of the pair left there: each runs once for itself.
        const auto in_turn = [this](const std::function<double()>& timed) {
            if (options_.cache == CacheRule::warm) {
                (void)timed();
            }
            return timed();
        };
        one = [&dense_us, in_turn, dense, call_us = one] {
            const double us = in_turn(call_us);
            dense_us.push_back(in_turn(dense));
            return us;
        };
        const double warm_up_seconds = std::min(settling_seconds, rule.max_seconds);
        const double start = steady_seconds();
        do {
            (void)one();
        } while (!interrupted() && steady_seconds() - start < warm_up_seconds);
        dense_us.clear();
    }
    (void)device_.take_meters();
    const SampleSummary samples = sample_until(rule, one, steady_seconds, options_.interrupt);
    const Meters meters = device_.take_meters();
    record.measurement->clock_mhz = meters.clock_mhz;
    record.measurement->power_w = meters.power_w;
    record.floor = state.floor;
    if (!dense_us.empty()) {
        record.floor.compute_us = summarize(std::move(dense_us), rule.precision).median;
    }
    return samples;
}

/// The dense product, to be sampled beside the case; empty where it is not the larger floor, or not to be had.
std::function<double()> Runner::dense_sample(const CaseState& state) {
    // Beside dense products, a call that waits for memory would meet lower clocks than the read that is its floor did.
    const Floor& floor = state.floor;
    if (!floor.compute_us || *floor.compute_us < floor.read_us.value_or(0)) {
        return {};
    }
    const GemmSpec& spec = state.problem->spec();
    try {
        return device_.dense_sample(state.problem->rows(), spec.n, spec.k, compute_class(spec), options_.cache);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::out_of_memory) {
            throw;
        }
        if (options_.message) {
            options_.message(
                fmt::format("{}: {}: the dense product does not fit beside the operands; its floor was "
                            "measured before the case, maybe at another clock ({})",
                            state.item.source, state.provider, error.what()));
        }
        return {};
    }
}

double Runner::empty_us() {
    if (!empty_us_) {
        constexpr StoppingRule rule{.min_samples = 11, .max_samples = 1000, .min_seconds = 0, .max_seconds = 0.3};
        empty_us_ = sample_until(
                        rule, [this] { return device_.time(options_.cache, [this] { device_.empty_call(); }); },
                        steady_seconds, options_.interrupt)
                        .median;
    }
    return *empty_us_;
}

void Runner::emit(const Record& record) {
    switch (record.status) {
        case Status::ok:
            ++summary_.ok;
            break;
        case Status::unsupported:
            ++summary_.unsupported;
            break;
        case Status::error:
            ++summary_.errors;
            break;
        case Status::wrong:
            ++summary_.wrong;
            break;
        case Status::planned:
            ++summary_.planned;
            break;
    }
    ++done_;
    for (Sink* const sink : sinks_) {
        sink->write(record);
    }
}

void Runner::tell(const CaseState& state, std::string_view step) const {
    if (options_.progress) {
        options_.progress({done_, total_, state.item.source, state.provider, step});
    }
}

/// Once for each list of keys: a workload of a thousand cases has the same few in all of them.
void Runner::report_ignored(const CaseState& state) {
    if (state.ignored.empty() || !options_.message ||
        std::find(reported_.begin(), reported_.end(), state.ignored) != reported_.end()) {
        return;
    }
    reported_.push_back(state.ignored);
    options_.message(fmt::format("{}: ignored keys that the op does not know: {}", state.item.source,
                                 fmt::join(state.ignored, ", ")));
}

bool Runner::interrupted() const noexcept {
    return options_.interrupt != nullptr && options_.interrupt->load(std::memory_order_relaxed);
}

}  // namespace moegemm::bench
