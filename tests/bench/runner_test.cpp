#include "bench/runner.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "bench/case_of.hpp"
#include "bench/fake_provider.hpp"
#include "bench/host_device.hpp"

namespace moegemm::bench {
namespace {

using test::case_of;
using test::CaseWords;
using test::FakeProvider;
using test::Spoil;

/// Keeps what it is given.
class MemorySink final : public Sink {
public:
    void write(const Record& record) override { records.push_back(record); }
    void finish() override { ++finished; }
    std::vector<Record> records;
    int finished = 0;
};

/// Fails like a full disk.
class FullSink final : public Sink {
public:
    void write(const Record& /*record*/) override { throw Error(ErrorCode::io, "file", "x", "space"); }
};

/// A machine with as little memory as a test wants, and floors that cost no time.
class SmallDevice final : public Device {
public:
    [[nodiscard]] DLDevice dl() const override { return host_.dl(); }
    [[nodiscard]] std::string sku_name() const override { return "small"; }
    [[nodiscard]] std::string_view backend() const override { return "CPU"; }
    [[nodiscard]] std::string_view timing_method() const override { return host_.timing_method(); }
    [[nodiscard]] int threads() const override { return 1; }
    [[nodiscard]] void* stream() const override { return nullptr; }
    [[nodiscard]] std::int64_t available_bytes() const override { return available; }
    [[nodiscard]] std::int64_t own_bytes(CacheRule rule) const override { return rule == CacheRule::warm ? 0 : 5000; }
    [[nodiscard]] std::shared_ptr<void> allocate(std::int64_t bytes) override {
        allocated += bytes;
        return host_.allocate(bytes);
    }
    void set(void* target, std::uint8_t value, std::int64_t bytes) override { host_.set(target, value, bytes); }
    void copy_to_host(void* target, const void* source, std::int64_t bytes) override {
        host_.copy_to_host(target, source, bytes);
    }
    void copy_from_host(void* target, const void* source, std::int64_t bytes) override {
        host_.copy_from_host(target, source, bytes);
    }
    void fill(const Problem& problem, std::uint64_t seed, Operands& operands) override {
        ++fills;
        host_.fill(problem, seed, operands);
    }
    [[nodiscard]] std::unique_ptr<OperandRows> rows(const Problem& problem, const Operands& operands,
                                                    std::uint64_t seed) override {
        return host_.rows(problem, operands, seed);
    }
    double time(CacheRule rule, const std::function<void()>& call) override {
        ++timed[rule];
        if (rule == dense_rule) {
            order += 'c';
            if (call_us) {
                return *call_us;  // y is there already
            }
        }
        return host_.time(CacheRule::warm, call);
    }
    [[nodiscard]] Meters take_meters() override {
        ++meters_taken;
        order += '|';
        return {};
    }
    [[nodiscard]] std::function<double()> replay(CacheRule /*rule*/, const std::function<void()>& call) override {
        EXPECT_EQ(dense_alive, 0);
        return [this, call] {
            call();
            order += 'g';
            return call_us.value_or(1.0);
        };
    }
    [[nodiscard]] double read_floor_us(std::int64_t bytes, CacheRule /*rule*/) override {
        floor_bytes.push_back(bytes);
        return 2.0;
    }
    [[nodiscard]] std::optional<double> compute_floor_us(std::int64_t m, std::int64_t n, std::int64_t k,
                                                         ComputeClass type, CacheRule /*rule*/) override {
        floor_class = type;
        return static_cast<double>(m * n * k) / products_per_us;
    }
    [[nodiscard]] std::function<double()> dense_sample(std::int64_t m, std::int64_t n, std::int64_t k,
                                                       ComputeClass type, CacheRule rule) override {
        if (!dense_us) {
            return {};
        }
        EXPECT_EQ(type, floor_class);
        dense_shape = {m, n, k};
        dense_rule = rule;
        if (dense_bytes > available) {
            throw Error(ErrorCode::out_of_memory, "memory", "much", "less");
        }
        ++dense_samplers;
        ++dense_alive;
        const std::shared_ptr<void> operands(nullptr, [this](void*) { --dense_alive; });
        return [this, operands] {
            order += 'd';
            return dense_us();
        };
    }

    std::int64_t available = std::int64_t{1} << 30;
    std::int64_t allocated = 0;
    int fills = 0;
    std::map<CacheRule, int> timed;
    std::vector<std::int64_t> floor_bytes;
    ComputeClass floor_class = ComputeClass::bf16;
    double products_per_us = 1e5;

    std::optional<double> call_us;     ///< what a timed call takes, instead of its own time
    std::function<double()> dense_us;  ///< what a dense product takes; empty: there is none to be sampled
    std::int64_t dense_bytes = 0;      ///< that it needs
    std::vector<std::int64_t> dense_shape;
    std::optional<CacheRule> dense_rule;
    int meters_taken = 0;
    int dense_samplers = 0;  ///< made
    int dense_alive = 0;     ///< of them, not yet released
    std::string order;       ///< from the first sampler on: (c)all, (d)ense product, (g)raph; | meters were taken

private:
    HostDevice host_{1};
};

struct TestRun {
    explicit TestRun(const std::vector<Spoil>& spoils) {
        for (const Spoil& spoil : spoils) {
            options.providers.push_back(
                std::make_shared<FakeProvider>(spoil, "fake" + std::to_string(options.providers.size())));
        }
        options.min_time = 0;
        options.max_time = 0.02;
        options.message = [this](const std::string& line) { messages.push_back(line); };
    }
    RunSummary operator()(const std::vector<Case>& cases) { return Runner(options, device, {&sink}).run(cases); }

    SmallDevice device;
    RunOptions options;
    MemorySink sink;
    std::vector<std::string> messages;
};

const CaseWords int8_words{
    .variant = Variant::int8, .tokens = 24, .experts = 4, .n = 48, .k = 64, .dst = "bfloat16", .layout = {}};

TEST(Runner, MeasuresAndVerifiesEveryVariant) {
    std::vector<Case> cases;
    for (const VariantInfo& row : variants) {
        CaseWords words = int8_words;
        words.variant = row.id;
        cases.push_back(case_of(words));
    }
    TestRun run({Spoil{}});
    const RunSummary summary = run(cases);
    EXPECT_EQ(summary.ok, static_cast<std::int64_t>(variants.size()));
    EXPECT_FALSE(summary.interrupted);
    EXPECT_EQ(run.sink.finished, 1);
    ASSERT_EQ(run.sink.records.size(), variants.size());
    for (std::size_t i = 0; i < variants.size(); ++i) {
        const Record& record = run.sink.records[i];
        EXPECT_EQ(record.variant, variants[i].id);
        EXPECT_EQ(record.status, Status::ok) << record.reason;
        ASSERT_TRUE(record.measurement);
        EXPECT_GT(record.measurement->median_us, 0);
        EXPECT_GE(record.measurement->samples, 1);
        EXPECT_EQ(record.measurement->method, "steady-clock");
        EXPECT_EQ(record.measurement->cache, CacheRule::cold);
        EXPECT_GT(record.measurement->first_us.value_or(0), 0);
        EXPECT_FALSE(record.measurement->pack_us);
        EXPECT_TRUE(record.measurement->empty_us);
        EXPECT_FALSE(record.measurement->host_counts);
        EXPECT_EQ(record.verification.value().checked, 24 * 48);
        EXPECT_EQ(record.targets.latency_us, round3(record.measurement->median_us));
        EXPECT_EQ(record.targets.kernels, (std::vector<std::string>{"fake, one", "fake two"}));
        EXPECT_DOUBLE_EQ(record.floor.ratio.value(), record.measurement->median_us / 2.0);
        EXPECT_EQ(run.device.floor_bytes[i], account(test::problem_of([&] {
                                                 CaseWords words = int8_words;
                                                 words.variant = variants[i].id;
                                                 return words;
                                             }()))
                                                 .floor_read_bytes);
    }
    EXPECT_GT(run.device.timed[CacheRule::cold], 11);
}

TEST(Runner, TheComputeFloorIsOfTheElementsKind) {
    TestRun run({Spoil{}});
    (void)run({case_of(int8_words)});
    EXPECT_EQ(run.device.floor_class, ComputeClass::int8);
    CaseWords words = int8_words;
    words.variant = Variant::mxfp8;
    (void)run({case_of(words)});
    EXPECT_EQ(run.device.floor_class, ComputeClass::bf16);
    words.variant = Variant::fp8_block;
    (void)run({case_of(words)});
    EXPECT_EQ(run.device.floor_class, ComputeClass::fp8);
}

/// A run on a device with dense products to be sampled. Each takes `compute_us` when it is measured for the first time,
/// 1000 µs in the warm-up, 10 µs beside the samples; a call takes 15 µs, a read 2 µs.
struct PairedRun : TestRun {
    explicit PairedRun(const std::vector<Spoil>& spoils, double compute_us = 4.0) : TestRun(spoils) {
        device.products_per_us = 24.0 * 48 * 64 / compute_us;
        device.call_us = 15.0;
        device.dense_us = [this] {
            if (settled()) {
                return 10.0;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            return 1000.0;
        };
        options.max_time = 10;  // never what ends the samples, on a busy machine under a sanitizer either
    }
    /// Whether the samples have begun: they are what stands between two readings of the meters.
    [[nodiscard]] bool settled() const { return device.meters_taken % 2 == 1; }
    /// What was run between the two readings of the meters of a record.
    [[nodiscard]] std::vector<std::string> stretches() const {
        std::vector<std::string> parts(1);
        for (const char step : device.order) {
            if (step == '|') {
                parts.emplace_back();
            } else {
                parts.back() += step;
            }
        }
        return parts;
    }
};

std::string times(std::size_t count, const std::string& steps) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
        text += steps;
    }
    return text;
}

TEST(Runner, CallsAndDenseProductsTakeTurnsWhereComputeMatters) {
    PairedRun run({Spoil{}, Spoil{}});
    ASSERT_EQ(run({case_of(int8_words)}).ok, 2) << run.sink.records.at(0).reason;
    EXPECT_EQ(run.device.dense_shape, (std::vector<std::int64_t>{24, 48, 64}));
    EXPECT_EQ(run.device.dense_rule, CacheRule::cold);
    EXPECT_EQ(run.device.dense_samplers, 2) << "each provider's record has its own";
    EXPECT_EQ(run.device.dense_alive, 0);
    const std::vector<std::string> stretches = run.stretches();
    ASSERT_EQ(stretches.size(), 5U) << run.device.order;
    for (const std::size_t part : {0U, 1U, 3U}) {
        EXPECT_GE(stretches[part].size(), 2U);
        EXPECT_EQ(stretches[part], times(stretches[part].size() / 2, "cd"));
    }
    EXPECT_EQ(stretches[1], times(11, "cd")) << "warm-up pairs are no samples";
    for (const Record& record : run.sink.records) {
        EXPECT_EQ(record.measurement.value().samples, 11);
        EXPECT_EQ(record.measurement.value().median_us, 15.0);
        EXPECT_EQ(record.floor.read_us, 2.0);
        EXPECT_EQ(record.floor.compute_us, 10.0)
            << "the samples' median: neither the first measurement nor the warm-up";
        EXPECT_DOUBLE_EQ(record.floor.ratio.value(), 1.5);
    }
}

TEST(Runner, TheFloorOfPairsIsTheirMedian) {
    PairedRun run({Spoil{}});
    run.device.dense_us = [&run, i = 0U]() mutable {
        return run.settled() ? std::array{9.0, 12.0, 40.0}[i++ % 3] : 1.0;
    };
    ASSERT_EQ(run({case_of(int8_words)}).ok, 1);
    EXPECT_EQ(run.sink.records.at(0).floor.compute_us, 12.0);
    EXPECT_DOUBLE_EQ(run.sink.records.at(0).floor.ratio.value(), 1.25);
}

TEST(Runner, AReadThatTakesLongerThanThePairedProductStaysTheFloor) {
    PairedRun run({Spoil{}}, 2.0);  // as the read
    run.device.dense_us = [] { return 1.2; };
    ASSERT_EQ(run({case_of(int8_words)}).ok, 1);
    EXPECT_EQ(run.sink.records.at(0).floor.compute_us, 1.2);
    EXPECT_DOUBLE_EQ(run.sink.records.at(0).floor.ratio.value(), 7.5);
}

TEST(Runner, ADenseProductBelowTheReadIsNotSampled) {
    PairedRun run({Spoil{}}, 1.99);
    ASSERT_EQ(run({case_of(int8_words)}).ok, 1);
    EXPECT_EQ(run.device.dense_samplers, 0);
    const Record& record = run.sink.records.at(0);
    EXPECT_DOUBLE_EQ(record.floor.compute_us.value(), 1.99);
    EXPECT_DOUBLE_EQ(record.floor.ratio.value(), record.measurement.value().median_us / 2.0);
}

TEST(Runner, WithoutMemoryForTheDenseProductItsFirstMeasurementStands) {
    PairedRun run({Spoil{}});
    run.device.dense_bytes = run.device.available + 1;
    ASSERT_EQ(run({case_of(int8_words)}).ok, 1) << run.sink.records.at(0).reason;
    EXPECT_EQ(run.sink.records.at(0).floor.compute_us, 4.0);
    EXPECT_DOUBLE_EQ(run.sink.records.at(0).floor.ratio.value(), 3.75);
    ASSERT_EQ(run.messages.size(), 1U);
    EXPECT_NE(run.messages[0].find("test case: fake0: the dense product does not fit"), std::string::npos)
        << run.messages[0];
}

TEST(Runner, InWarmCachesEachOfAPairRunsOnceForItselfFirst) {
    PairedRun run({Spoil{}});
    run.options.cache = CacheRule::warm;
    ASSERT_EQ(run({case_of(int8_words)}).ok, 1);
    const std::vector<std::string> stretches = run.stretches();
    ASSERT_EQ(stretches.size(), 3U);
    EXPECT_EQ(stretches[1], times(11, "ccdd"));
    EXPECT_EQ(run.sink.records.at(0).measurement.value().samples, 11);
}

TEST(Runner, GraphReplaysFollowThePairs) {
    PairedRun run({Spoil{}});
    run.options.graph = true;
    ASSERT_EQ(run({case_of(int8_words)}).ok, 1);
    EXPECT_EQ(run.sink.records.at(0).measurement.value().graph_us, 15.0);
    EXPECT_EQ(run.stretches().at(2).substr(0, 11), times(11, "g"));
}

TEST(Runner, ADenseProductThatFailsIsTheRecordsErrorAndIsReleased) {
    PairedRun run({Spoil{}});
    run.device.dense_us = []() -> double { throw Error(ErrorCode::internal, "product", "1", "0"); };
    EXPECT_EQ(run({case_of(int8_words)}).errors, 1);
    EXPECT_EQ(run.device.dense_alive, 0);
    EXPECT_FALSE(run.sink.records.at(0).floor.compute_us);
}

TEST(Runner, AnInterruptEndsPairsToo) {
    for (const char* const when : {"warm-up", "samples"}) {
        std::atomic<bool> interrupt{false};
        PairedRun run({Spoil{}, Spoil{}});
        run.options.interrupt = &interrupt;
        run.options.max_time = 60;
        run.options.min_time = 60;
        const bool in_samples = when == std::string("samples");
        run.device.dense_us = [&, settled = 0]() mutable {
            settled += run.settled() ? 1 : 0;
            interrupt = !in_samples || settled == 4;
            return 10.0;
        };
        const RunSummary summary = run({case_of(int8_words)});
        EXPECT_TRUE(summary.interrupted);
        EXPECT_EQ(summary.ok, 1);
        ASSERT_EQ(run.sink.records.size(), 1U);
        EXPECT_EQ(run.sink.records[0].measurement.value().samples, in_samples ? 4 : 1);
        EXPECT_EQ(run.sink.records[0].floor.compute_us, 10.0);
        EXPECT_EQ(run.stretches().at(1), times(in_samples ? 4 : 1, "cd"));
        if (!in_samples) {
            EXPECT_EQ(run.stretches().at(0), "cd");
        }
        EXPECT_EQ(run.device.dense_alive, 0);
    }
}

TEST(Runner, ProvidersOfACaseShareItsOperands) {
    TestRun run({Spoil{}, Spoil{}, Spoil{}});
    EXPECT_EQ(run({case_of(int8_words), case_of(int8_words)}).ok, 6);
    EXPECT_EQ(run.device.fills, 2);
    EXPECT_EQ(run.sink.records[4].provider, "fake1");
}

TEST(Runner, ACaseWithoutRowsSucceedsWithoutFloors) {
    CaseWords words = int8_words;
    words.tokens = 0;
    TestRun run({Spoil{}});
    EXPECT_EQ(run({case_of(words)}).ok, 1) << run.sink.records.at(0).reason;
    const Record& record = run.sink.records[0];
    EXPECT_EQ(record.shape.value().rows, 0);
    EXPECT_FALSE(record.floor.read_us);
    EXPECT_FALSE(record.floor.compute_us);
    EXPECT_FALSE(record.floor.ratio);
    EXPECT_TRUE(record.targets.latency_us);
    EXPECT_TRUE(run.device.floor_bytes.empty());
}

/// One provider, one case, spoilt outputs: a record of status wrong with the reason, and no time.
void expect_wrong(const Spoil& spoil, const std::string& reason, const CaseWords& words = int8_words) {
    TestRun run({spoil, {}});
    const RunSummary summary = run({case_of(words)});
    EXPECT_EQ(summary.wrong, 1);
    EXPECT_EQ(summary.ok, 1) << "the next provider runs";
    const Record& record = run.sink.records.at(0);
    EXPECT_EQ(record.status, Status::wrong);
    EXPECT_NE(record.reason.find(reason), std::string::npos) << record.reason;
    EXPECT_FALSE(record.measurement);
    EXPECT_FALSE(record.targets.latency_us);
    EXPECT_FALSE(record.floor.read_us);
    EXPECT_TRUE(record.verification);
}

/// y's element as bfloat16.
std::uint16_t& element(const Operands& operands, std::int64_t row, std::int64_t column) {
    return operands.y.as<std::uint16_t>()[row * operands.y.shape()[1] + column];
}

TEST(Runner, AWrongElementAtAnEdgeIsWrong) {
    for (const auto& [row, column] : {std::pair{0, 0}, {0, 47}, {23, 0}, {23, 47}, {6, 0}, {5, 47}}) {
        Spoil spoil;
        spoil.after_run = [row = row, column = column](const Operands& operands) {
            element(operands, row, column) ^= 0x8000;
        };
        expect_wrong(spoil, "row " + std::to_string(row) + ", column " + std::to_string(column));
    }
}

TEST(Runner, ARowThatIsNotWrittenIsWrong) {
    Spoil spoil;
    spoil.after_run = [](const Operands& operands) { std::memset(&element(operands, 7, 0), 0xFF, 48 * 2); };
    expect_wrong(spoil, "row 7 (expert 1), column 0 was not written");
}

TEST(Runner, WritingPastYIsWrong) {
    Spoil past;
    past.after_run = [](const Operands& operands) { element(operands, 24, 0) = 0; };
    expect_wrong(past, "y was written past its end, at byte 2304 of 2304");
    Spoil before;
    before.after_run = [](const Operands& operands) { *(operands.y.as<std::uint8_t>() - 1) = 0; };
    expect_wrong(before, "y was written before its start");
}

TEST(Runner, WritingPastTheWorkspaceOrThePackedWeightsIsWrong) {
    Spoil spoil;
    spoil.workspace_bytes = 100;
    spoil.after_run = [](const Operands& operands) { operands.workspace.as<std::uint8_t>()[100] = 0; };
    expect_wrong(spoil, "the workspace was written past its end");
    Spoil packs;
    packs.packed_bytes = 100;
    packs.pack = [](const Tensor& packed) { packed.as<std::uint8_t>()[100] = 0; };
    expect_wrong(packs, "the packed weights was written past its end");
}

TEST(Runner, AnOutputThatGoesWrongLaterIsWrong) {
    Spoil spoil;
    spoil.after_run = [calls = std::make_shared<int>(0)](const Operands& operands) {
        if (++*calls > 3) {
            element(operands, 0, 0) ^= 0x8000;
        }
    };
    expect_wrong(spoil, "row 0, column 0");
}

TEST(Runner, WithoutVerificationAWrongOutputIsNotSeen) {
    Spoil spoil;
    spoil.after_run = [](const Operands& operands) { element(operands, 0, 0) ^= 0x8000; };
    TestRun run({spoil});
    run.options.verify = VerifyMode::off;
    EXPECT_EQ(run({case_of(int8_words)}).ok, 1);
    EXPECT_EQ(run.sink.records[0].verification.value().mode, VerifyMode::off);
    EXPECT_EQ(run.sink.records[0].verification.value().checked, 0);
}

TEST(Runner, ADeclaredPromotionIsGivenItsTolerance) {
    CaseWords words = int8_words;
    words.dst = "float32";
    Spoil spoil;
    spoil.after_run = [](const Operands& operands) {
        for (std::int64_t i = 0; i < operands.y.elements(); ++i) {
            operands.y.as<float>()[i] *= 1.0003F;
        }
    };
    expect_wrong(spoil, "relative_max", words);
    spoil.accumulation = Accumulation::promoted_128;
    TestRun run({spoil});
    EXPECT_EQ(run({case_of(words)}).ok, 1) << run.sink.records.at(0).reason;
}

TEST(Runner, RoundingIsAllowedOnRequestOnlyAndSaid) {
    CaseWords words = int8_words;
    words.dst = "float32";
    std::vector<bool> allowed;
    Spoil spoil;
    spoil.planned = [&allowed](const PlanOptions& options) { allowed.push_back(options.inexact); };
    TestRun exact({spoil});
    EXPECT_EQ(exact({case_of(words)}).ok, 1) << exact.sink.records.at(0).reason;
    EXPECT_FALSE(exact.sink.records[0].measurement.value().inexact);
    spoil.after_run = [](const Operands& operands) {
        for (std::int64_t i = 0; i < operands.y.elements(); ++i) {
            operands.y.as<float>()[i] *= 1.0003F;
        }
    };
    TestRun rounded({spoil});
    rounded.options.inexact = true;
    EXPECT_EQ(rounded({case_of(words)}).ok, 1) << rounded.sink.records.at(0).reason;
    EXPECT_TRUE(rounded.sink.records[0].measurement.value().inexact);
    EXPECT_EQ(allowed, (std::vector<bool>{false, true}));
}

// Who declares less precise sums than promoted ones keeps their tolerance.
TEST(Runner, InexactCallsOfFastSumsKeepTheirTolerance) {
    CaseWords words = int8_words;
    words.dst = "float32";
    Spoil spoil;
    spoil.accumulation = Accumulation::fast;
    spoil.after_run = [](const Operands& operands) {
        for (std::int64_t i = 0; i < operands.y.elements(); ++i) {
            operands.y.as<float>()[i] *= 1.004F;
        }
    };
    TestRun run({spoil});
    run.options.inexact = true;
    EXPECT_EQ(run({case_of(words)}).ok, 1) << run.sink.records.at(0).reason;
}

TEST(Runner, PackingIsTimedApart) {
    Spoil spoil;
    spoil.packed_bytes = 4096;
    spoil.pack = [](const Tensor& packed) { EXPECT_EQ(packed.bytes(), 4096); };
    spoil.after_run = [](const Operands& operands) { EXPECT_EQ(operands.packed_w.bytes(), 4096); };
    TestRun run({spoil});
    EXPECT_EQ(run({case_of(int8_words)}).ok, 1);
    EXPECT_TRUE(run.sink.records[0].measurement.value().pack_us);
    EXPECT_EQ(run.sink.records[0].measurement.value().packed_bytes, 4096);
}

TEST(Runner, HostCountsAreGivenToWhoNeedsThemAndSaid) {
    Spoil spoil;
    spoil.needs_host_counts = true;
    spoil.after_run = [](const Operands& operands) {
        ASSERT_NE(operands.host_m_indptr, nullptr);
        EXPECT_EQ(operands.host_m_indptr[4], 24);
    };
    TestRun run({spoil, {}});
    EXPECT_EQ(run({case_of(int8_words)}).ok, 2);
    EXPECT_TRUE(run.sink.records[0].measurement.value().host_counts);
    EXPECT_FALSE(run.sink.records[1].measurement.value().host_counts);
}

TEST(Runner, UnsupportedComesWithItsReason) {
    Spoil spoil;
    spoil.unsupported = "K % 128 != 0";
    Spoil elsewhere;
    elsewhere.device_type = kDLCUDA;
    TestRun run({spoil, elsewhere});
    EXPECT_EQ(run({case_of(int8_words)}).unsupported, 2);
    EXPECT_EQ(run.sink.records[0].status, Status::unsupported);
    EXPECT_EQ(run.sink.records[0].reason, "K % 128 != 0");
    EXPECT_TRUE(run.sink.records[0].targets.calc_flops);
    EXPECT_NE(run.sink.records[1].reason.find("device"), std::string::npos);
    EXPECT_EQ(run.device.allocated, 0);
}

TEST(Runner, WhateverAProviderThrowsIsARecordAndTheNextOneRuns) {
    Spoil plan_throws;
    plan_throws.plan = []() -> std::unique_ptr<Plan> { throw Error(ErrorCode::unsupported, "kernel", "x", "y"); };
    Spoil run_throws;
    run_throws.run = [](const Operands&) { throw std::runtime_error("device lost"); };
    Spoil later;
    later.after_run = [calls = std::make_shared<int>(0)](const Operands&) {
        if (++*calls > 3) {
            throw std::bad_alloc();
        }
    };
    Spoil odd;
    odd.run = [](const Operands&) { throw 7; };
    TestRun run({plan_throws, run_throws, later, odd, {}});
    const RunSummary summary = run({case_of(int8_words)});
    EXPECT_EQ(summary.errors, 4);
    EXPECT_EQ(summary.ok, 1);
    EXPECT_EQ(run.sink.records[0].reason, "unsupported: kernel = x: allowed is y");
    EXPECT_EQ(run.sink.records[1].reason, "internal: device lost");
    EXPECT_EQ(run.sink.records[2].reason, "out_of_memory: the system gave no more memory");
    EXPECT_NE(run.sink.records[3].reason.find("internal"), std::string::npos);
    for (int i = 0; i < 4; ++i) {
        EXPECT_FALSE(run.sink.records[static_cast<std::size_t>(i)].measurement);
    }
}

TEST(Runner, BadArgumentsAreARecordWithTheArgumentsAsTheyCame) {
    Case bad = case_of(int8_words);
    bad.arguments[5].second = std::int64_t{9};  // topk
    Case untyped = case_of(int8_words);
    untyped.arguments[6].second = std::string("int7");
    TestRun run({Spoil{}});
    const RunSummary summary = run({bad, untyped, case_of(int8_words)});
    EXPECT_EQ(summary.errors, 2);
    EXPECT_EQ(summary.ok, 1);
    EXPECT_EQ(run.sink.records[0].reason.find("invalid_argument: topk = 9"), 0U) << run.sink.records[0].reason;
    EXPECT_EQ(run.sink.records[0].variant, Variant::int8);
    EXPECT_EQ(run.sink.records[0].arguments.size(), bad.arguments.size() + 2);
    EXPECT_FALSE(run.sink.records[0].shape);
    EXPECT_FALSE(run.sink.records[1].variant);
}

TEST(Runner, KeysThatTheOpDoesNotKnowAreReported) {
    Case item = case_of(int8_words);
    item.arguments.emplace_back("colour", std::string("red"));
    TestRun run({Spoil{}});
    (void)run({item, item});
    EXPECT_EQ(run.sink.records[1].ignored, (std::vector<std::string>{"colour"}));
    EXPECT_EQ(run.messages, (std::vector<std::string>{"test case: ignored keys that the op does not know: colour"}));
    for (const auto& [key, value] : run.sink.records[0].arguments) {
        EXPECT_NE(key, "colour");
    }
}

TEST(Runner, MoreMemoryThanThereIsIsSaidBeforeAnythingIsAllocated) {
    CaseWords words = int8_words;
    words.n = 100'000;
    words.k = 100'000;
    words.experts = 64;
    TestRun run({Spoil{}, Spoil{}});
    run.device.available = 123'456'789;
    const RunSummary summary = run({case_of(words), case_of(int8_words)});
    EXPECT_EQ(summary.errors, 2);
    EXPECT_EQ(summary.ok, 2);
    const std::string& reason = run.sink.records[0].reason;
    EXPECT_EQ(reason.find("out_of_memory: memory = 64"), 0U) << reason;  // 640 GB of W
    EXPECT_NE(reason.find("123456789 bytes"), std::string::npos) << reason;
    EXPECT_LT(run.device.allocated, 10'000'000);
}

TEST(Runner, MemoryCountsEverything) {
    const Problem problem = test::problem_of(int8_words);
    std::int64_t tensors = 0;
    for (const TensorSpec& spec : tensor_specs(problem.spec(), problem.rows())) {
        tensors += spec.bytes;
    }
    Spoil spoil;
    spoil.workspace_bytes = 1'000'000;
    spoil.packed_bytes = 3'000'000;
    TestRun run({spoil});
    run.options.verify = VerifyMode::off;
    run.device.available = tensors + 4'000'000 + 5'000 + 6 * 4096 - 1;
    EXPECT_EQ(run({case_of(int8_words)}).errors, 1);
    EXPECT_EQ(run.device.allocated, 0);
    ++run.device.available;
    EXPECT_EQ(run({case_of(int8_words)}).ok, 1) << run.sink.records.back().reason;
    run.options.verify = VerifyMode::full;
    EXPECT_EQ(run({case_of(int8_words)}).errors, 1);
}

TEST(Runner, ADryRunAllocatesAndFailsNothing) {
    CaseWords words = int8_words;
    words.n = 1'000'000;
    words.k = 100'000;
    words.experts = 64;
    Spoil spoil;
    spoil.unsupported = "no";
    spoil.plan = []() -> std::unique_ptr<Plan> { throw std::runtime_error("planned"); };
    TestRun run({spoil, {}});
    run.options.dry_run = true;
    run.device.available = 1;
    Case bad = case_of(int8_words);
    bad.arguments[2].second = std::int64_t{0};
    const RunSummary summary = run({case_of(words), bad});
    EXPECT_EQ(summary.planned, 2);
    EXPECT_EQ(summary.errors, 2);
    EXPECT_EQ(run.device.allocated, 0);
    const Record& record = run.sink.records[0];
    EXPECT_EQ(record.status, Status::planned);
    EXPECT_NE(record.reason.find("no"), std::string::npos);
    EXPECT_EQ(record.targets.calc_flops, 2 * std::int64_t{24} * 1'000'000 * 100'000);
    EXPECT_TRUE(record.targets.read_bytes && record.targets.write_bytes && record.targets.io_bytes);
    EXPECT_FALSE(record.targets.latency_us);
    EXPECT_FALSE(record.measurement);
    EXPECT_FALSE(record.verification);
    EXPECT_TRUE(record.shape);
}

TEST(Runner, AnInterruptFinishesTheRecordInHandAndTheSinks) {
    std::atomic<bool> interrupt{false};
    Spoil spoil;
    spoil.after_run = [&interrupt, calls = std::make_shared<int>(0)](const Operands&) {
        if (++*calls == 4) {
            interrupt = true;
        }
    };
    TestRun run({spoil, {}});
    run.options.interrupt = &interrupt;
    run.options.max_time = 60;
    run.options.min_time = 60;
    const RunSummary summary = run({case_of(int8_words), case_of(int8_words)});
    EXPECT_TRUE(summary.interrupted);
    EXPECT_EQ(summary.ok, 1);
    ASSERT_EQ(run.sink.records.size(), 1U);
    EXPECT_LE(run.sink.records[0].measurement.value().samples, 4);
    EXPECT_FALSE(run.sink.records[0].measurement.value().converged);
    EXPECT_EQ(run.sink.finished, 1);
}

TEST(Runner, TellsHowFarItIs) {
    TestRun run({Spoil{}, Spoil{}});
    std::vector<std::size_t> done;
    std::vector<std::string> steps;
    run.options.progress = [&](const Progress& progress) {
        EXPECT_EQ(progress.total, 4U);
        EXPECT_EQ(progress.source, "test case");
        done.push_back(progress.done);
        if (progress.done == 0) {
            steps.emplace_back(progress.step);
        }
    };
    (void)run({case_of(int8_words), case_of(int8_words)});
    EXPECT_EQ(done.front(), 0U);
    EXPECT_EQ(done.back(), 3U);
    EXPECT_EQ(steps, (std::vector<std::string>{"plan", "floor", "fill", "reference", "verify", "time"}));
}

TEST(Runner, ARecordThatCannotBeKeptEndsTheRun) {
    TestRun run({Spoil{}});
    FullSink full;
    EXPECT_THROW((void)Runner(run.options, run.device, {&full}).run(std::vector<Case>{case_of(int8_words)}), Error);
}

TEST(Runner, RefusesBadOptions) {
    TestRun run({Spoil{}});
    const auto refused = [&](const std::function<void(RunOptions&)>& change) {
        RunOptions options = run.options;
        change(options);
        try {
            const Runner runner(options, run.device, {});
        } catch (const Error& error) {
            return error.argument();
        }
        return std::string();
    };
    EXPECT_EQ(refused([](RunOptions& o) { o.routing = "zigzag"; }), "routing");
    EXPECT_EQ(refused([](RunOptions& o) { o.min_time = -1; }), "min-time");
    EXPECT_EQ(refused([](RunOptions& o) { o.max_time = std::nan(""); }), "max-time");
    EXPECT_EQ(refused([](RunOptions& o) { o.min_time = o.max_time + 1; }), "max-time");
}

TEST(Runner, RoutingAndSeedAreTheRuns) {
    TestRun run({Spoil{}});
    run.options.routing = "zipf:1.5";
    run.options.seed = 42;
    CaseWords words = int8_words;
    words.tokens = 500;
    (void)run({case_of(words)});
    const Record& record = run.sink.records.at(0);
    EXPECT_EQ(std::get<std::string>(record.arguments[14].second), "zipf:1.5");
    EXPECT_EQ(std::get<std::int64_t>(record.arguments[15].second), 42);
    EXPECT_GT(record.shape.value().rows_max, record.shape.value().rows_min);
    EXPECT_EQ(record.status, Status::ok) << record.reason;
}

// The whole chain on the machine itself, with its own floors and cold caches.
TEST(Runner, RunsOnThisMachine) {
    const auto device = make_device("cpu", 2);
    RunOptions options;
    options.providers = {std::make_shared<FakeProvider>()};
    options.min_time = 0;
    options.max_time = 0.1;
    MemorySink sink;
    EXPECT_EQ(Runner(options, *device, {&sink}).run(std::vector<Case>{case_of(int8_words)}).ok, 1);
    EXPECT_GT(sink.records.at(0).floor.read_us.value_or(0), 0);
    EXPECT_GT(sink.records.at(0).floor.compute_us.value_or(0), 0);
    EXPECT_GT(sink.records.at(0).floor.ratio.value_or(0), 0);
}

}  // namespace
}  // namespace moegemm::bench
