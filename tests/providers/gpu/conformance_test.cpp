// Every committed conformance vector on the GPU.
#include <filesystem>

#include "bench/conformance.hpp"
#include "providers/gpu/gpu_call.hpp"

namespace moegemm::test {
namespace {

class GpuConformance : public GpuTest {};

TEST_P(GpuConformance, EveryVector) {
    int passed = 0;
    for (const auto& folder : bench::find_conformance_cases(std::filesystem::path(MOEGEMM_TEST_DATA) / "vectors")) {
        const bench::ConformanceCase item = bench::read_conformance_case(folder);
        const bench::Verdict verdict = bench::check_conformance(item, provider(), device());
        EXPECT_NE(verdict.outcome, bench::Verdict::Outcome::failed) << item.name << ": " << verdict.reason;
        passed += verdict.outcome == bench::Verdict::Outcome::passed ? 1 : 0;
    }
    EXPECT_GT(passed, 0);
}

INSTANTIATE_TEST_SUITE_P(Providers, GpuConformance, testing::ValuesIn(all_gpu_provider_names()), gpu_test_name);

}  // namespace
}  // namespace moegemm::test
