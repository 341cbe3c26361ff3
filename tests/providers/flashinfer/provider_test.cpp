// Provider `flashinfer` end to end over the double of its modules: every entry point, against the float64 reference.
#include "providers/flashinfer/provider.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "op/expect_error.hpp"
#include "providers/cpu/call.hpp"
#include "providers/flashinfer/entry.hpp"
#include "providers/flashinfer/entry_problem.hpp"
#include "providers/flashinfer/host_machine.hpp"

namespace moegemm::test {
namespace {

using flashinfer::Entry;
using flashinfer::ModuleLibrary;

const std::filesystem::path doubles = MOEGEMM_TEST_FLASHINFER_DOUBLES;

std::shared_ptr<const Provider> provider_on(int capability, const std::filesystem::path& folder = doubles) {
    return make_flashinfer_provider(std::make_shared<HostMachine>(capability),
                                    std::make_shared<ModuleLibrary>(std::vector{folder}, true), nullptr);
}

/// Memory for workspaces. Most of it is FlashInfer's, comes first and is never touched but for its beginning; what is
/// poisoned, the first and the last MiBs, holds all that the provider writes.
Tensor workspace_of(std::size_t bytes) {
    constexpr std::size_t size = std::size_t{260} << 20;
    constexpr std::size_t poisoned = std::size_t{4} << 20;
    static const std::unique_ptr<void, void (*)(void*)> memory(std::calloc(size, 1), std::free);
    if (memory == nullptr || bytes > size - 256) {
        throw std::runtime_error("a larger workspace than these tests have memory for");
    }
    auto* first = static_cast<std::uint8_t*>(memory.get());
    first += 256 - reinterpret_cast<std::uintptr_t>(first) % 256;
    std::fill_n(first, std::min(bytes, poisoned), std::uint8_t{0xFF});
    std::fill(first + bytes - std::min(bytes, poisoned), first + bytes, std::uint8_t{0xFF});
    return {first, DType::u8, {static_cast<std::int64_t>(bytes)}};
}

/// \return y's bytes, poisoned before, guarded around
std::vector<std::uint8_t> run(const Provider& provider, const GemmSpec& spec, Operands operands) {
    const auto plan = provider.plan(spec, {});
    const ExactBuffer y(static_cast<std::size_t>(operands.y.bytes()), 0xFF);
    operands.y = Tensor(y.data(), operands.y.dtype(), operands.y.shape());
    operands.workspace = workspace_of(plan->workspace_bytes());
    plan->run(operands);
    EXPECT_TRUE(y.guard_intact());
    return {y.data(), y.data() + y.size()};
}

int first_capability(const Entry& entry) { return entry.capabilities[0]; }

class FlashInferDouble : public testing::TestWithParam<std::size_t> {
protected:
    [[nodiscard]] const Entry& entry() const { return flashinfer::entries[GetParam()]; }
};

INSTANTIATE_TEST_SUITE_P(Entries, FlashInferDouble, testing::Range<std::size_t>(0, flashinfer::entries.size()),
                         [](const auto& test) {
                             const Entry& entry = flashinfer::entries[test.param];
                             return fmt::format("{}_{}", moegemm::info(entry.variant).name, entry.module);
                         });

// 1,000 over all entries.
TEST_P(FlashInferDouble, RandomProblemsConform) {
    const auto provider = provider_on(first_capability(entry()));
    std::mt19937_64 random(1000 + GetParam());
    for (int round = 0; round < 125; ++round) {
        const Call call(random_problem(entry(), random), random);
        ASSERT_TRUE(provider->supports(call.spec()).supported) << provider->supports(call.spec()).reason;
        const Call::Expected expected = call.expected();
        const std::vector<std::uint8_t> y = run(*provider, call.spec(), call.operands());
        Tolerance tolerance = tolerance_of(call.spec().dst);
        expect_conforms(y, call.spec().dst, call.spec().n, expected.y, expected.magnitude, tolerance,
                        fmt::format("round {}: {}", round, describe(call.problem(), {})));
        if (HasFailure()) {
            return;
        }
    }
}

TEST_P(FlashInferDouble, NoRowsAreNoCall) {
    const auto provider = provider_on(first_capability(entry()));
    std::mt19937_64 random(7);
    const GemmSpec spec = random_problem(entry(), random).spec();
    const Call call(Problem::from(spec, std::vector<std::int32_t>(static_cast<std::size_t>(spec.experts) + 1, 0)),
                    random);
    EXPECT_TRUE(run(*provider, call.spec(), call.operands()).empty());
}

TEST_P(FlashInferDouble, OnePlanServesFewerRows) {
    const auto provider = provider_on(first_capability(entry()));
    std::mt19937_64 random(8);
    for (int round = 0; round < 5; ++round) {
        const Call call(random_problem(entry(), random), random);
        GemmSpec larger = call.spec();
        larger.max_rows += 1 + round;
        const std::vector<std::uint8_t> y = run(*provider, larger, call.operands());
        EXPECT_EQ(y, run(*provider, call.spec(), call.operands()));
    }
}

TEST_P(FlashInferDouble, WeightsOfExpertsWithoutRowsNeverReachY) {
    if (entry().one_expert) {
        GTEST_SKIP() << "takes one expert only";
    }
    const auto provider = provider_on(first_capability(entry()));
    std::mt19937_64 random(9);
    GemmSpec spec = random_problem(entry(), random).spec();
    spec.experts = 3;
    const Call call(Problem::from(spec, {0, 5, 5, 6}), random);
    const std::vector<std::uint8_t> before = run(*provider, call.spec(), call.operands());
    const auto bytes = static_cast<std::size_t>(call.operands().w.bytes() / 3);
    std::fill_n(call.bytes(Role::w) + bytes, bytes, std::uint8_t{0x7F});  // NaN in most formats
    EXPECT_EQ(run(*provider, call.spec(), call.operands()), before);
}

TEST_P(FlashInferDouble, MisalignedTensorsAreRefusedByName) {
    const auto provider = provider_on(first_capability(entry()));
    std::mt19937_64 random(10);
    GemmSpec spec = random_problem(entry(), random).spec();
    spec.experts = 1;
    const Call call(Problem::from(spec, {0, 8}), random);
    const auto plan = provider->plan(call.spec(), {});
    const std::array<std::pair<Role, const char*>, 3> roles{
        {{Role::a, "scatter_tokens"}, {Role::w, "experts_weight"}, {Role::y, "y"}}};
    for (const auto& [role, name] : roles) {
        Operands operands = call.operands();
        const Tensor& whole = operands[role];
        operands[role] = Tensor(whole.as<std::uint8_t>() + 8, whole.dtype(), whole.shape());
        operands.workspace = workspace_of(plan->workspace_bytes());
        EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, name, "address", "a multiple of 16 bytes",
                                 [&] { plan->run(operands); }));
    }
    Operands operands = call.operands();
    const auto device = DLDevice{kDLCUDA, 0};
    operands.a = Tensor(operands.a.data(), operands.a.dtype(), operands.a.shape(), device);
    operands.workspace = workspace_of(plan->workspace_bytes());
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "scatter_tokens", "", "device", [&] {
        try {
            plan->run(operands);
        } catch (const Error& error) {  // the value's text is check_operands' matter
            throw Error(error.code(), error.argument(), "", error.allowed() + " (device)");
        }
    }));
}

TEST_P(FlashInferDouble, DemandsAreReasons) {
    const auto provider = provider_on(first_capability(entry()));
    std::mt19937_64 random(11);
    const auto expect_reason = [&](const std::string& part, auto&& change) {
        GemmSpec spec = random_problem(entry(), random).spec();
        spec.max_rows = 8;
        change(spec);
        spec.check();
        const Support support = provider->supports(spec);
        EXPECT_FALSE(support.supported);
        EXPECT_NE(support.reason.find(part), std::string::npos) << support.reason;
        EXPECT_TRUE(throws_error(ErrorCode::unsupported, "variant", info(spec.variant).name, part,
                                 [&] { (void)provider->plan(spec, {}); }));
    };
    const Entry& e = entry();
    const std::int64_t smaller_k = std::max<std::int64_t>(e.k_multiple / 2, info(e.variant).k_granularity);
    expect_reason(fmt::format("K in multiples of {}", e.k_multiple),
                  [&](GemmSpec& spec) { spec.k = e.k_multiple + smaller_k; });
    expect_reason(fmt::format("N in multiples of {}", e.n_multiple),
                  [&](GemmSpec& spec) { spec.n = e.n_multiple + e.n_multiple / 2; });
    expect_reason("dst_dtype bfloat16", [](GemmSpec& spec) { spec.dst = DType::f32; });
    if (e.same_type && info(e.variant).a == DType::e4m3) {
        expect_reason("A and W of one type", [](GemmSpec& spec) {
            spec.a = DType::e4m3;
            spec.w = DType::e5m2;
        });
    }
    if (e.one_expert) {
        expect_reason("one expert only", [](GemmSpec& spec) { spec.experts = 2; });
    }
    if (info(e.variant).alpha != Alpha::none && !e.alpha) {
        expect_reason("no alpha", [](GemmSpec& spec) { spec.has_alpha = true; });
    }
    expect_reason("M + 4*E", [](GemmSpec& spec) { spec.max_rows = 2147483647; });
}

TEST(FlashInferProvider, SaysWhyAVariantHasNoEntry) {
    const auto reason = [](int capability, Variant variant) {
        GemmSpec spec;
        spec.variant = variant;
        spec.a = info(variant).a;
        spec.w = info(variant).w;
        spec.scale_layout = info(variant).layouts[0];
        spec.experts = 2;
        spec.n = 128;
        spec.k = 256;
        spec.max_rows = 8;
        const Support support = provider_on(capability)->supports(spec);
        return support.supported ? std::string("supported") : support.reason;
    };
    EXPECT_EQ(reason(90, Variant::fp8_block),
              "FlashInfer has no compiled grouped fp8_block for compute capability 9.0: only for 10.0 10.3 10.7 12.0 "
              "12.1; what it "
              "has on 9.0, fp8_blockscale_gemm_sm90, is a dense product: a loop over experts");
    EXPECT_EQ(reason(90, Variant::nvfp4),
              "FlashInfer has no compiled grouped nvfp4 for compute capability 9.0: only for 12.0 12.1");
    EXPECT_EQ(
        reason(120, Variant::fp8),
        "FlashInfer's grouped_mm_fp8 takes cuDNN 9.21 or later: this was built without cuDNN's headers; FlashInfer "
        "has no compiled grouped fp8 for compute capability 12.0: only for 9.0");
    EXPECT_EQ(reason(100, Variant::mxfp4_a4),
              "FlashInfer runs grouped mxfp4_a4 through cuDNN, which is not called here");
    EXPECT_EQ(reason(90, Variant::int8), "FlashInfer has no grouped GEMM of int8");
    EXPECT_EQ(reason(90, Variant::bf16), "supported");
}

TEST(FlashInferProvider, EveryEntryIsFoundOnItsArchitecturesOnly) {
    for (const Entry& entry : flashinfer::entries) {
        int found = 0;
        for (int capability = 50; capability < 130; ++capability) {
            const bool listed =
                std::find(entry.capabilities.begin(), entry.capabilities.end(), capability) != entry.capabilities.end();
            EXPECT_EQ(flashinfer::find_entry(entry.variant, capability) == &entry, listed)
                << entry.function << " " << capability;
            found += listed ? 1 : 0;
        }
        EXPECT_GT(found, 0);
    }
}

TEST(FlashInferProvider, SaysWhatItIs) {
    const auto provider = provider_on(90);
    const ProviderInfo& about = provider->info();
    EXPECT_EQ(about.name, "flashinfer");
    EXPECT_EQ(about.unavailable, "");
    EXPECT_TRUE(about.version.starts_with("unknown (TVM-FFI 0.1.")) << about.version;
    EXPECT_EQ(about.support[static_cast<std::size_t>(Variant::fp8)].accumulation, Accumulation::fast);
    EXPECT_EQ(about.support[static_cast<std::size_t>(Variant::mxfp4)].accumulation, Accumulation::fp32);
    EXPECT_FALSE(about.support[static_cast<std::size_t>(Variant::int8)].offered);
    const auto without = make_flashinfer_provider(std::make_shared<HostMachine>("no NVIDIA driver is installed"),
                                                  std::make_shared<ModuleLibrary>(std::vector{doubles}, true), nullptr);
    EXPECT_EQ(without->info().unavailable, "no NVIDIA driver is installed");
    EXPECT_EQ(provider_on(75)->info().unavailable,
              "FlashInfer has no compiled grouped bf16 for compute capability 7.5: only for 8.0 8.6 8.7 8.9 10.0 10.3 "
              "10.7 11.0 "
              "12.0 12.1 9.0");
}

TEST(FlashInferProvider, RefusesADeviceThatIsNotThere) {
    const auto provider = provider_on(90);
    std::mt19937_64 random(12);
    const GemmSpec spec = random_problem(*flashinfer::find_entry(Variant::bf16, 90), random).spec();
    PlanOptions options;
    options.device.device_id = 1;
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "device", "1", "0 … 0",
                             [&] { (void)provider->plan(spec, options); }));
    options.device = {kDLCUDA, 0};
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "device", "device type 2", "a CUDA device",
                             [&] { (void)provider->plan(spec, options); }));
    options = {};
    options.kernel = "another";
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "kernel", "another", "cutlass_segment_gemm_sm90",
                             [&] { (void)provider->plan(spec, options); }));
}

}  // namespace
}  // namespace moegemm::test
