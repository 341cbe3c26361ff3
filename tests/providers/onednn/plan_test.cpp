// Plans over a stand-in of oneDNN: everything around its products, for all variants that it may ever take.
#include <dlfcn.h>

#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "op/expect_error.hpp"
#include "providers/cpu/call.hpp"
#include "providers/onednn/onednn_library.hpp"

namespace moegemm::test {
namespace {

constexpr int problems = 60;

std::vector<Variant> variants_offered() { return {Variant::bf16, Variant::int8, Variant::fp8, Variant::fp8_token}; }

class OnednnProducts : public testing::TestWithParam<Variant> {};

TEST_P(OnednnProducts, ConformToTheReference) {
    const auto provider = provider_over(fake_onednn("fake"));
    for (int i = 0; i < problems; ++i) {
        std::mt19937_64 random(static_cast<std::uint64_t>(i) * 64 + static_cast<std::uint64_t>(GetParam()));
        CallOptions options;
        options.most_n = 70;
        options.most_k = 90;
        options.most_rows = 12;
        const Call call(random_problem(GetParam(), random, options), random, options);
        const RunOptions run{"", 1 + i % 3, i % 2 == 0};
        const Call::Expected expected = call.expected();
        expect_conforms(run_call(*provider, call.spec(), call.operands(), run), call.spec().dst, call.spec().n,
                        expected.y, expected.magnitude, tolerance_of(call.spec().dst), describe(call.problem(), run));
        if (HasFatalFailure()) {
            FAIL() << "problem " << i;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Variants, OnednnProducts, testing::ValuesIn(variants_offered()), [](const auto& test) {
    return std::string(variants[static_cast<std::size_t>(test.param)].name);
});

GemmSpec small_spec(Variant variant = Variant::bf16) {
    GemmSpec spec;
    spec.variant = variant;
    spec.a = info(variant).a;
    spec.w = info(variant).w;
    spec.experts = 3;
    spec.n = 40;
    spec.k = 64;
    spec.max_rows = 9;
    spec.scale_layout = info(variant).layouts[0];
    return spec;
}

TEST(OnednnPlan, OffersWhatHasOneScaleForAllOfK) {
    const auto provider = provider_over(fake_onednn("fake"));
    const std::vector<Variant> offered = variants_offered();
    for (const VariantInfo& row : variants) {
        const bool expected = std::find(offered.begin(), offered.end(), row.id) != offered.end();
        const Support support = provider->supports(small_spec(row.id));
        EXPECT_EQ(provider->info().support[static_cast<std::size_t>(row.id)].offered, expected) << row.name;
        EXPECT_EQ(support.supported, expected) << row.name;
        EXPECT_EQ(support.reason.find("reference code") != std::string::npos, !expected) << support.reason;
    }
}

TEST(OnednnPlan, NamesWhatRuns) {
    const auto plan = provider_over(fake_onednn("fake"))->plan(small_spec(), {});
    EXPECT_EQ(plan->kernels(), std::vector<std::string>{"onednn/fake:loops"});
}

TEST(OnednnPlan, ReferenceCodeIsRefused) {
    for (const char* library : {"reference", "reference_from_two_rows"}) {
        const auto provider = provider_over(fake_onednn(library));
        EXPECT_EQ(provider->info().unavailable, "");
        const Support support = provider->supports(small_spec());
        EXPECT_FALSE(support.supported) << library;
        EXPECT_NE(support.reason.find("by its reference code (ref:any)"), std::string::npos) << support.reason;
        EXPECT_TRUE(throws_error(ErrorCode::unsupported, "spec", "bf16", "by its reference code",
                                 [&] { (void)provider->plan(small_spec(), {}); }));
    }
}

TEST(OnednnPlan, Int8WithoutVnniIsRefused) {
    const auto provider = provider_over(fake_onednn("no_vnni"));
    EXPECT_TRUE(provider->supports(small_spec()).supported);
    const Support support = provider->supports(small_spec(Variant::int8));
    EXPECT_FALSE(support.supported);
    EXPECT_NE(support.reason.find("VNNI"), std::string::npos) << support.reason;
}

TEST(OnednnPlan, AFailureOfTheLibraryIsAnError) {
    std::mt19937_64 random(11);
    const Call call(random_problem(Variant::bf16, random, {}), random);
    const auto provider = provider_over(fake_onednn("failing"));
    EXPECT_TRUE(
        throws_error(ErrorCode::internal, "dnnl_primitive_execute", "status 5 (runtime error)", "status 0", [&] {
            (void)run_call(*provider, call.spec(), call.operands(), {"", 1, false});
        }));
}

TEST(OnednnPlan, ThreadsAreThePlansAndPutBackAfterwards) {
    const std::string path = fake_onednn("fake");
    void* library = dlopen(path.c_str(), RTLD_NOW);
    ASSERT_NE(library, nullptr);
    const auto in_use = reinterpret_cast<int (*)()>(dlsym(library, "fake_threads_in_use"));
    const auto current = reinterpret_cast<int (*)()>(dlsym(library, "omp_get_max_threads"));
    const auto provider = provider_over(path);
    const int before = current();
    std::mt19937_64 random(12);
    const Call call(random_problem(Variant::bf16, random, {}), random);
    for (const auto& [wanted, expected] : {std::pair{5, 5}, std::pair{1, 1}, std::pair{0, 3}}) {
        (void)run_call(*provider, call.spec(), call.operands(), {"", wanted, true});
        EXPECT_EQ(in_use(), expected);
        EXPECT_EQ(current(), before);
    }
}

TEST(OnednnPlan, ThreadsThatTheLibraryCannotBeGivenAreRefused) {
    const auto provider = provider_over(fake_onednn("sequential"));
    PlanOptions options;
    EXPECT_NE(provider->plan(small_spec(), options), nullptr);
    options.threads = 1;
    EXPECT_NE(provider->plan(small_spec(), options), nullptr);
    options.threads = 2;
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "threads", "2", "0 or 1",
                             [&] { (void)provider->plan(small_spec(), options); }));
}

TEST(OnednnPlan, OptionsOutOfRangeAreRefused) {
    const auto provider = provider_over(fake_onednn("fake"));
    const auto plan_with = [&](auto change) {
        PlanOptions options;
        change(options);
        (void)provider->plan(small_spec(), options);
    };
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "threads", "-1", "4096",
                             [&] { plan_with([](PlanOptions& options) { options.threads = -1; }); }));
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "kernel", "mine", "none",
                             [&] { plan_with([](PlanOptions& options) { options.kernel = "mine"; }); }));
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "device", "device type 2", "the CPU", [&] {
        plan_with([](PlanOptions& options) { options.device = {kDLCUDA, 0}; });
    }));
}

TEST(OnednnPlan, NoRowsIsACallThatSucceeds) {
    const auto provider = provider_over(fake_onednn("fake"));
    for (const Variant variant : variants_offered()) {
        std::mt19937_64 random(5);
        const GemmSpec spec = random_problem(variant, random, {}).spec();
        const std::vector<std::int32_t> none(static_cast<std::size_t>(spec.experts) + 1, 0);
        const Call call(Problem::from(spec, none), random);
        EXPECT_TRUE(run_call(*provider, call.spec(), call.operands(), {"", 2, true}).empty());
    }
}

}  // namespace
}  // namespace moegemm::test
