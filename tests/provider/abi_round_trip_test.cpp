// A provider that crosses the C ABI and comes back is the provider that went.
#include <cstddef>
#include <cstring>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include <moegemm/plugin.hpp>

#include "op/expect_error.hpp"
#include "provider/random_call.hpp"
#include "providers/reference/provider.hpp"

namespace moegemm::test {
namespace {

/// Both directions at once.
struct RoundTrip {
    explicit RoundTrip(std::shared_ptr<const Provider> provider)
        : exported(std::move(provider)), imported(import_provider(exported.table(), nullptr)) {}
    ExportedProvider exported;
    std::shared_ptr<const Provider> imported;
};

class AbiRoundTrip : public testing::TestWithParam<Variant> {};

TEST_P(AbiRoundTrip, GivesTheSameBits) {
    const auto direct = make_reference_provider();
    const RoundTrip trip(direct);
    std::mt19937 generator(100 + static_cast<unsigned>(GetParam()));
    for (unsigned i = 0; i < 12; ++i) {
        const Problem problem = random_problem(GetParam(), generator);
        RandomCall one(problem, i);
        RandomCall other(problem, i);
        direct->plan(problem.spec(), {})->run(one.operands);
        ASSERT_TRUE(trip.imported->supports(problem.spec()).supported);
        const auto plan = trip.imported->plan(problem.spec(), {});
        EXPECT_EQ(plan->spec(), problem.spec());
        EXPECT_EQ(plan->kernels(), std::vector<std::string>{"float64"});
        plan->run(other.operands);
        ASSERT_EQ(one.y->bytes(), other.y->bytes());
        ASSERT_TRUE(other.guards_intact());
    }
}

INSTANTIATE_TEST_SUITE_P(Variants, AbiRoundTrip, testing::ValuesIn([] {
                             std::vector<Variant> all;
                             for (const VariantInfo& row : variants) {
                                 all.push_back(row.id);
                             }
                             return all;
                         }()),
                         [](const auto& test) { return std::string(moegemm::info(test.param).name); });

/// Offers one variant, packs by copying, and refuses what it is told to.
class PackingPlan final : public Plan {
public:
    PackingPlan(const GemmSpec& spec, DLDevice device) : Plan(spec, device) {}
    [[nodiscard]] std::size_t workspace_bytes() const override { return 192; }
    [[nodiscard]] std::size_t packed_bytes() const override {
        return static_cast<std::size_t>(spec().experts * spec().n * spec().k);
    }
    [[nodiscard]] std::vector<std::string> kernels() const override { return {"first", "second"}; }

private:
    void do_pack(const Operands& operands, const Tensor& packed, void* /*stream*/) override {
        std::memcpy(packed.data(), operands.w.data(), packed_bytes());
    }
    void do_run(const Operands& operands, void* stream) override {
        if (stream != nullptr) {
            throw std::runtime_error("a stream");
        }
        if (operands.host_m_indptr == nullptr) {
            throw Error(ErrorCode::unsupported, "host_m_indptr", "absent", "given");
        }
        const Tensor& source = operands.packed_w.defined() ? operands.packed_w : operands.w;
        std::fill_n(operands.workspace.as<std::uint8_t>(), 192, std::uint8_t{7});
        auto* y = operands.y.as<float>();
        for (std::int64_t i = 0; i < operands.y.elements(); ++i) {
            y[i] = static_cast<float>(source.as<std::int8_t>()[i]);
        }
    }
};

class PackingProvider final : public Provider {
public:
    PackingProvider() {
        about_.name = "packing";
        about_.version = "3.1";
        about_.description = "a provider of the tests";
        about_.needs_host_counts = true;
        about_.unavailable = "there is no such device";
        about_.support[static_cast<std::size_t>(Variant::int8)] = {true, Accumulation::promoted_128, ScaleRange::bf16};
    }
    [[nodiscard]] const ProviderInfo& info() const override { return about_; }
    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        return spec.variant == Variant::int8 ? Support::yes() : Support::no("packing has int8 alone");
    }
    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        if (const Support support = supports(spec); !support.supported) {
            throw Error(ErrorCode::unsupported, "spec", std::string(spec.row().name), support.reason);
        }
        if (options.kernel == "odd" || options.threads == 77) {
            throw Error(ErrorCode::invalid_argument, "kernel", options.kernel, "even");
        }
        if (options.inexact) {
            throw Error(ErrorCode::invalid_argument, "inexact", "1", "0");
        }
        return std::make_unique<PackingPlan>(spec, options.device);
    }

private:
    ProviderInfo about_;
};

class AbiErrors : public testing::Test {
protected:
    RoundTrip trip{std::make_shared<PackingProvider>()};
    Problem problem = small_problem(Variant::int8);
    RandomCall call{problem, 1};
    GuardedBuffer workspace{192};

    Operands operands() {
        Operands all = call.operands;
        all.workspace = Tensor(workspace.data(), DType::u8, {192});
        all.host_m_indptr = problem.m_indptr().data();
        return all;
    }
};

TEST_F(AbiErrors, InfoSurvives) {
    const ProviderInfo& about = trip.imported->info();
    EXPECT_EQ(about.name, "packing");
    EXPECT_EQ(about.version, "3.1");
    EXPECT_EQ(about.description, "a provider of the tests");
    EXPECT_EQ(about.device_type, kDLCPU);
    EXPECT_TRUE(about.needs_host_counts);
    EXPECT_EQ(about.unavailable, "there is no such device");
    for (const VariantInfo& row : variants) {
        const VariantSupport& support = about.support[static_cast<std::size_t>(row.id)];
        EXPECT_EQ(support.offered, row.id == Variant::int8);
        if (support.offered) {
            EXPECT_EQ(support.accumulation, Accumulation::promoted_128);
            EXPECT_EQ(support.scale_range, ScaleRange::bf16);
        }
    }
}

TEST_F(AbiErrors, ReasonsSurvive) {
    const GemmSpec spec = small_problem(Variant::bf16).spec();
    const Support support = trip.imported->supports(spec);
    EXPECT_FALSE(support.supported);
    EXPECT_EQ(support.reason, "packing has int8 alone");
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "spec", "bf16", "packing has int8 alone",
                             [&] { (void)trip.imported->plan(spec, {}); }));
}

TEST_F(AbiErrors, OptionsArrive) {
    PlanOptions options;
    options.kernel = "odd";
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "kernel", "odd", "even",
                             [&] { (void)trip.imported->plan(problem.spec(), options); }));
    options.kernel.clear();
    options.threads = 77;
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "kernel", "", "even",
                             [&] { (void)trip.imported->plan(problem.spec(), options); }));
    options.threads = 0;
    options.inexact = true;
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "inexact", "1", "0",
                             [&] { (void)trip.imported->plan(problem.spec(), options); }));
}

// `inexact` came later: who was built before gives a shorter structure, and asks for nothing behind its end.
TEST_F(AbiErrors, ShorterOptionsOfEarlierCallersAreTaken) {
    const moegemm_provider& table = *trip.exported.table();
    const moegemm_spec spec{sizeof(moegemm_spec), "int8", "i8", "i8", "f32", "none", 0, 2, 20, 64, 8};
    moegemm_plan_options options{};
    options.device.device_type = kDLCPU;
    options.inexact = 1;
    moegemm_plan* plan = nullptr;
    options.struct_size = offsetof(moegemm_plan_options, inexact);
    ASSERT_EQ(table.plan(table.self, &spec, &options, &plan), MOEGEMM_OK) << table.last_error()->message;
    table.destroy_plan(plan);
    for (const std::size_t size : {offsetof(moegemm_plan_options, inexact) - 1, sizeof options}) {
        options.struct_size = static_cast<std::uint32_t>(size);
        EXPECT_EQ(table.plan(table.self, &spec, &options, &plan), MOEGEMM_INVALID_ARGUMENT);
        EXPECT_STREQ(table.last_error()->argument, size == sizeof options ? "inexact" : "options.struct_size");
    }
}

TEST_F(AbiErrors, PacksAndRunsWithPackedWeights) {
    const auto plan = trip.imported->plan(problem.spec(), {});
    EXPECT_EQ(plan->kernels(), (std::vector<std::string>{"first", "second"}));
    EXPECT_EQ(plan->workspace_bytes(), 192U);
    ASSERT_EQ(plan->packed_bytes(), 2U * 20 * 64);
    GuardedBuffer packed(2 * 20 * 64);
    const Tensor packed_tensor(packed.data(), DType::u8, {2 * 20 * 64});
    Operands all = operands();
    plan->pack(all, packed_tensor);
    EXPECT_TRUE(packed.guards_intact());
    EXPECT_EQ(std::memcmp(packed.data(), all.w.data(), 2 * 20 * 64), 0);
    all.packed_w = packed_tensor;
    all.w = all.w_scale = Tensor();
    plan->run(all);
    EXPECT_TRUE(workspace.all(7));
    for (std::int64_t i = 0; i < all.y.elements(); ++i) {
        ASSERT_EQ(all.y.as<float>()[i], static_cast<float>(call.operands.w.as<std::int8_t>()[i]));
    }
}

TEST_F(AbiErrors, AProvidersOwnErrorSurvives) {
    const auto plan = trip.imported->plan(problem.spec(), {});
    Operands all = operands();
    all.host_m_indptr = nullptr;
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "host_m_indptr", "absent", "given", [&] { plan->run(all); }));
    EXPECT_TRUE(call.y->all(RandomCall::poison));
}

TEST_F(AbiErrors, AForeignExceptionBecomesAnInternalError) {
    const auto plan = trip.imported->plan(problem.spec(), {});
    int stream = 0;
    EXPECT_TRUE(throws_error(ErrorCode::internal, "exception", "a stream", "an Error",
                             [&] { plan->run(operands(), &stream); }));
    plan->run(operands());
    EXPECT_FALSE(call.y->all(RandomCall::poison));
}

TEST_F(AbiErrors, LastErrorsBelongToTheirThreads) {
    const moegemm_provider* table = trip.exported.table();
    ASSERT_EQ(table->supports(table->self, nullptr), MOEGEMM_INVALID_ARGUMENT);
    const std::string mine = table->last_error()->message;
    std::thread([&] {
        EXPECT_EQ(table->last_error()->status, MOEGEMM_OK);
        const char* text = nullptr;
        EXPECT_EQ(table->variant(table->self, "bf17", &text, &text), MOEGEMM_INVALID_ARGUMENT);
        EXPECT_STREQ(table->last_error()->value, "bf17");
    }).join();
    EXPECT_EQ(table->last_error()->message, mine);
}

}  // namespace
}  // namespace moegemm::test
