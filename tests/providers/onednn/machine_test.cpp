// The oneDNN that this machine has; skipped where it has none.
#include <filesystem>

#include <gtest/gtest.h>

#include "bench/conformance.hpp"
#include "bench/device.hpp"

#include "providers/cpu/call.hpp"
#include "providers/onednn/onednn_library.hpp"

namespace moegemm::test {
namespace {

class MachinesOnednn : public testing::TestWithParam<Variant> {
protected:
    void SetUp() override {
        if (!provider_->info().unavailable.empty()) {
            GTEST_SKIP() << provider_->info().unavailable;
        }
    }
    const std::shared_ptr<const Provider> provider_ = machines_provider();
};

TEST_F(MachinesOnednn, ConformanceVectors) {
    const auto device = bench::make_device("cpu", 2);
    int passed = 0;
    for (const auto& folder : bench::find_conformance_cases(std::filesystem::path(MOEGEMM_TEST_DATA) / "vectors")) {
        const bench::ConformanceCase item = bench::read_conformance_case(folder);
        const bench::Verdict verdict = bench::check_conformance(item, *provider_, *device);
        EXPECT_NE(verdict.outcome, bench::Verdict::Outcome::failed) << item.name << ": " << verdict.reason;
        passed += verdict.outcome == bench::Verdict::Outcome::passed ? 1 : 0;
    }
    if (passed == 0) {
        GTEST_SKIP() << "oneDNN " << provider_->info().version << " has fast code for none of them on this CPU";
    }
}

TEST_P(MachinesOnednn, RandomProblems) {
    constexpr int problems = 120;
    int run_here = 0;
    for (int i = 0; i < problems; ++i) {
        std::mt19937_64 random(static_cast<std::uint64_t>(i) * 64 + static_cast<std::uint64_t>(GetParam()));
        CallOptions options;
        options.most_k = i % 8 == 0 ? 3000 : 600;
        options.most_n = i % 8 == 1 ? 1400 : 200;
        const Call call(random_problem(GetParam(), random, options), random, options);
        if (const Support support = provider_->supports(call.spec()); !support.supported) {
            EXPECT_NE(support.reason.find("oneDNN"), std::string::npos) << support.reason;
            continue;
        }
        const RunOptions run{"", 1 + i % 2, i % 3 != 0};
        const Call::Expected expected = call.expected();
        expect_conforms(run_call(*provider_, call.spec(), call.operands(), run), call.spec().dst, call.spec().n,
                        expected.y, expected.magnitude, tolerance_of(call.spec().dst), describe(call.problem(), run));
        if (HasFatalFailure()) {
            FAIL() << "problem " << i;
        }
        ++run_here;
    }
    if (run_here == 0) {
        GTEST_SKIP() << "oneDNN " << provider_->info().version << " has no fast code for it on this CPU";
    }
}

INSTANTIATE_TEST_SUITE_P(Variants, MachinesOnednn,
                         testing::Values(Variant::bf16, Variant::int8, Variant::fp8, Variant::fp8_token),
                         [](const auto& test) {
                             return std::string(variants[static_cast<std::size_t>(test.param)].name);
                         });

}  // namespace
}  // namespace moegemm::test
