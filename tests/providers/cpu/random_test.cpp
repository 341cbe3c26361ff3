// Random problems of every variant against the float64 reference.
#include <gtest/gtest.h>

#include <moegemm/variant.hpp>

#include "providers/cpu/call.hpp"

namespace moegemm::test {
namespace {

constexpr auto variant_count = static_cast<int>(variants.size());
constexpr int problems_per_variant = (MOEGEMM_RANDOM_PROBLEMS + variant_count - 1) / variant_count;

class RandomProblems : public testing::TestWithParam<Variant> {};

CallOptions draw_options(std::mt19937_64& random) {
    CallOptions options;
    switch (random() % 16) {
        case 0:  // several row blocks
            options.most_rows = 600;
            options.most_n = 60;
            options.most_k = 200;
            options.most_experts = 3;
            break;
        case 1:  // several groups of panels
            options.most_n = 1400;
            options.most_rows = 6;
            options.most_experts = 3;
            break;
        case 2:  // many K blocks
            options.most_k = 3000;
            options.most_n = 40;
            options.most_rows = 12;
            break;
        default:
            break;
    }
    return options;
}

TEST_P(RandomProblems, ConformToTheReference) {
    const std::vector<std::string> kernels = testable_kernels();
    for (int i = 0; i < problems_per_variant; ++i) {
        std::mt19937_64 random(static_cast<std::uint64_t>(i) * 64 + static_cast<std::uint64_t>(GetParam()));
        const CallOptions options = draw_options(random);
        const Call call(random_problem(GetParam(), random, options), random, options);
        RunOptions run;
        run.kernel = kernels[random() % kernels.size()];
        run.threads = 1 + static_cast<int>(random() % 3);
        run.packed = random() % 2 == 0;
        const Call::Expected expected = call.expected();
        expect_conforms(run_cpu(call, run), call.spec().dst, call.spec().n, expected.y, expected.magnitude,
                        tolerance_of(call.spec().dst), describe(call.problem(), run));
        if (HasFatalFailure()) {
            FAIL() << "problem " << i;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Variants, RandomProblems, testing::ValuesIn(all_variants()), [](const auto& test) {
    return std::string(variants[static_cast<std::size_t>(test.param)].name);
});

}  // namespace
}  // namespace moegemm::test
