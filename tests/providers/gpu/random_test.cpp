// Random problems of every variant that a GPU provider offers, against the float64 reference.
#include <atomic>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "bench/timing.hpp"
#include "providers/gpu/gpu_call.hpp"

namespace moegemm::test {
namespace {

/// MOEGEMM_GPU_PROBLEMS: so many, for sanitizers that slow every kernel down. MOEGEMM_GPU_SECONDS: the most time.
constexpr int default_problems = 5000;
constexpr int default_seconds = 240;

class GpuRandomProblems : public GpuTest {};

CallOptions draw_options(std::mt19937_64& random) {
    CallOptions options;
    switch (random() % 32) {
        case 0:
        case 1:  // tiles of many rows
            options.most_experts = 3;
            options.most_rows = 500;
            options.most_n = 300;
            options.most_k = 300;
            break;
        case 2:
        case 3:  // many tiles along N
            options.most_experts = 4;
            options.most_rows = 12;
            options.most_n = 2500;
            options.most_k = 300;
            break;
        case 4:
        case 5:  // many stages of K
            options.most_experts = 4;
            options.most_rows = 20;
            options.most_n = 60;
            options.most_k = 5000;
            break;
        case 6:
        case 7:
        case 8:  // many experts
            options.most_experts = 384;
            options.most_rows = 3;
            options.most_n = 40;
            options.most_k = 100;
            break;
        case 10:  // many tiles a CTA, of a step of K or two each
            options.most_experts = 384;
            options.most_rows = 3;
            options.most_n = 1700;
            options.most_k = 256;
            break;
        case 11:  // more experts than one look at the row counts takes in
            options.most_experts = 1500;
            options.most_rows = 2;
            options.most_n = 40;
            options.most_k = 64;
            break;
        case 9:  // next to nothing
            options.most_experts = 2;
            options.most_rows = 1;
            options.most_n = 3;
            options.most_k = 40;
            break;
        default:
            options.most_experts = 9;
            options.most_rows = 70;
            break;
    }
    return options;
}

TEST_P(GpuRandomProblems, ConformToTheReference) {
    const int problems = number_from_environment("MOEGEMM_GPU_PROBLEMS", default_problems);
    const double end = bench::steady_seconds() + number_from_environment("MOEGEMM_GPU_SECONDS", default_seconds);
    const std::vector<Variant> offered = variants_offered();
    ASSERT_FALSE(offered.empty());
    // The reference takes the time: every core computes it for problems of its own, the GPU is used in turns.
    std::mutex gpu;
    std::atomic<int> next{0};
    std::atomic<int> done{0};
    std::atomic<int> refused{0};
    const auto work = [&] {
        for (int i = next++; i < problems && !HasFatalFailure() && bench::steady_seconds() < end; i = next++) {
            std::mt19937_64 random(static_cast<std::uint64_t>(i) * 977 + 5);
            const Variant variant = offered[static_cast<std::size_t>(i) % offered.size()];
            const CallOptions options = draw_options(random);
            const Problem problem = for_provider(random_problem(variant, random, options));
            if (!takes(problem.spec())) {
                ++refused;
                continue;
            }
            const Call call(problem, random, options);
            // Bases are aligned to the element only, as the contract allows, in one call of eight of our own kernels.
            const std::int64_t drawn_shift = random() % 8 == 0 ? static_cast<std::int64_t>(random() % 32) : 0;
            const std::int64_t shift = is_ours() ? drawn_shift : 0;
            const std::string what = fmt::format("problem {}, bases at {}: {}", i, shift, describe(call.problem(), {}));
            const Call::Expected expected = call.expected();
            std::vector<std::uint8_t> y;
            try {
                const std::lock_guard lock(gpu);
                const auto made = plan(call.spec());
                y = run_gpu(device(), *made, call.operands(), shift);
            } catch (const Error& error) {
                FAIL() << what << ": " << error.what();
            }
            if (HasNonfatalFailure()) {
                FAIL() << what;
            }
            expect_conforms(y, call.spec().dst, call.spec().n, expected.y, expected.magnitude, tolerance(call.spec()),
                            what);
            ++done;
        }
    };
    std::vector<std::thread> workers;
    for (unsigned i = 1; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
        workers.emplace_back(work);
    }
    work();
    for (std::thread& worker : workers) {
        worker.join();
    }
    fmt::print("{}: {} of {} random problems conform, {} are not taken\n", GetParam(), done.load(), problems,
               refused.load());
    EXPECT_GT(done, 0);
    EXPECT_EQ(done + refused, problems) << "not all within the time";
}

INSTANTIATE_TEST_SUITE_P(Providers, GpuRandomProblems, testing::ValuesIn(all_gpu_provider_names()), gpu_test_name);

}  // namespace
}  // namespace moegemm::test
