// Provider `flashinfer` on a GPU, with FlashInfer's own modules: skipped where either is not there.
#include <cstring>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "op/expect_error.hpp"
#include "providers/flashinfer/entry_problem.hpp"
#include "providers/gpu/gpu_call.hpp"

namespace moegemm::test {
namespace {

class FlashInferOnGpu : public GpuTest {
protected:
    /// A plan of the entry's own function, also where FlashInfer would call cuDNN.
    [[nodiscard]] std::unique_ptr<Plan> plan_of(const flashinfer::Entry& entry, const GemmSpec& spec) const {
        PlanOptions options;
        options.device = device().dl();
        options.kernel = entry.function;
        return provider().plan(spec, options);
    }

    /// The entries of this GPU: those whose smallest problem their module takes.
    [[nodiscard]] std::vector<const flashinfer::Entry*> entries() const {
        std::vector<const flashinfer::Entry*> all;
        for (const flashinfer::Entry& entry : flashinfer::entries) {
            std::mt19937_64 random(1);
            const Problem problem = random_problem(entry, random);
            const bool first = all.empty() || all.back()->variant != entry.variant;
            try {
                if (first) {
                    (void)plan_of(entry, problem.spec());
                    all.push_back(&entry);
                }
            } catch (const Error&) {  // another GPU's, or one without its module
            }
        }
        return all;
    }
};

TEST_P(FlashInferOnGpu, RandomProblemsConform) {
    ASSERT_FALSE(entries().empty());
    const int problems = number_from_environment("MOEGEMM_GPU_PROBLEMS", 100);
    for (const flashinfer::Entry* entry : entries()) {
        std::mt19937_64 random(20);
        for (int i = 0; i < problems; ++i) {
            const Call call(random_problem(*entry, random), random);
            if (!provider().supports(call.spec()).supported) {
                continue;
            }
            const Call::Expected expected = call.expected();
            const auto compiled = plan_of(*entry, call.spec());
            const auto chosen = plan(call.spec());  // the same, but where FlashInfer calls cuDNN
            for (Plan* made : {compiled.get(), chosen.get()}) {
                if (made == chosen.get() && chosen->kernels() == compiled->kernels()) {
                    continue;
                }
                const std::vector<std::uint8_t> y = run_gpu(device(), *made, call.operands());
                expect_conforms(
                    y, call.spec().dst, call.spec().n, expected.y, expected.magnitude, tolerance(call.spec()),
                    fmt::format("{}, problem {}: {}", made->kernels().front(), i, describe(call.problem(), {})));
                ASSERT_FALSE(HasFailure());
            }
        }
    }
}

TEST_P(FlashInferOnGpu, RowsBehindTheLastExpertStayAsTheyAre) {
    for (const flashinfer::Entry* entry : entries()) {
        std::mt19937_64 random(21);
        GemmSpec spec = random_problem(*entry, random).spec();
        spec.experts = 1;
        const Call call(Problem::from(spec, {0, 37}), random);
        const auto made = plan_of(*entry, call.spec());
        const std::vector<std::uint8_t> whole = run_gpu(device(), *made, call.operands());
        GpuCall part(device(), *made, call.operands());
        part.set_m_indptr({0, 21});
        part.run();
        const std::vector<std::uint8_t> y = part.y(21);
        ASSERT_EQ(std::memcmp(y.data(), whole.data(), whole.size() / 37 * 21), 0) << entry->function;
    }
}

TEST_P(FlashInferOnGpu, AddressesThatWouldEndTheProcessAreRefused) {
    for (const flashinfer::Entry* entry : entries()) {
        std::mt19937_64 random(22);
        GemmSpec spec = random_problem(*entry, random).spec();
        spec.experts = 1;
        const Call call(Problem::from(spec, {0, 9}), random);
        const auto made = plan_of(*entry, call.spec());
        GpuCall shifted(device(), *made, call.operands(), 4);
        EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "scatter_tokens", "address", "a multiple of 16 bytes",
                                 [&] { shifted.run(); }));
        GpuCall good(device(), *made, call.operands());
        good.run();  // the process lives on
    }
}

INSTANTIATE_TEST_SUITE_P(Modules, FlashInferOnGpu, testing::Values(std::string("flashinfer")), gpu_test_name);

}  // namespace
}  // namespace moegemm::test
