// The thread pool, and calls from several threads at once.
#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include <gtest/gtest.h>

#include "providers/cpu/call.hpp"
#include "providers/cpu/provider.hpp"
#include "providers/cpu/thread_pool.hpp"

namespace moegemm::test {
namespace {

struct Tally {
    std::atomic<int> next{0};
    std::atomic<int> done{0};
    int items = 0;
    std::atomic<unsigned> slots{0};
    std::atomic<bool> slot_taken_twice{false};
};

void count_items(void* context, int slot) {
    auto& tally = *static_cast<Tally*>(context);
    if ((tally.slots.fetch_or(1U << slot) >> slot & 1U) != 0) {
        tally.slot_taken_twice = true;
    }
    while (tally.next.fetch_add(1) < tally.items) {
        tally.done.fetch_add(1);
    }
}

TEST(CpuThreadPool, EveryJobIsDoneWhenItReturns) {
    cpu::ThreadPool pool;
    pool.reserve(4);
    for (int round = 0; round < 2000; ++round) {
        Tally tally;
        tally.items = round % 50;
        const int threads = 1 + round % 4;
        pool.run(threads, count_items, &tally);
        ASSERT_EQ(tally.done, tally.items);
        ASSERT_FALSE(tally.slot_taken_twice);
        ASSERT_LT(tally.slots, 1U << threads);
    }
}

#if defined(__linux__)
/// Where the threads of a job may run, and where they do; every thread waits for the others.
struct Places {
    static constexpr std::size_t most = 64;
    std::atomic<int> arrived{0};
    int expected = 0;
    std::array<cpu_set_t, most> allowed{};
    std::array<int, most> processor{};
};

void note_place(void* context, int slot) {
    auto& places = *static_cast<Places*>(context);
    const auto at = static_cast<std::size_t>(slot);
    sched_getaffinity(0, sizeof(cpu_set_t), &places.allowed[at]);
    places.processor[at] = sched_getcpu();
    places.arrived.fetch_add(1);
    while (places.arrived.load() < places.expected) {
        std::this_thread::yield();
    }
}

TEST(CpuThreadPool, WorkersKeepToProcessorsOfTheirOwn) {
    const int threads = cpu::usable_processors();
    if (threads < 2 || threads > static_cast<int>(Places::most)) {
        GTEST_SKIP() << "this process has one processor, or more than the test has room for";
    }
    cpu_set_t mine;
    ASSERT_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
    cpu::ThreadPool pool;
    pool.reserve(threads);
    Places places;
    places.expected = threads;
    pool.run(threads, note_place, &places);
    std::set<int> taken;
    for (std::size_t slot = 1; slot < static_cast<std::size_t>(threads); ++slot) {
        EXPECT_EQ(CPU_COUNT(&places.allowed[slot]), 1) << "slot " << slot;
        EXPECT_TRUE(CPU_ISSET(static_cast<std::size_t>(places.processor[slot]), &mine)) << "slot " << slot;
        EXPECT_TRUE(taken.insert(places.processor[slot]).second) << "slot " << slot << " shares a processor";
    }
    // The caller may run where it could before.
    EXPECT_TRUE(CPU_EQUAL(&places.allowed[0], &mine));
}

TEST(CpuThreadPool, FewerWorkersThanProcessorsRunWhereTheirMakerMay) {
    if (cpu::usable_processors() < 3) {
        GTEST_SKIP() << "this process has two processors or one";
    }
    cpu_set_t mine;
    ASSERT_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
    cpu::ThreadPool pool;
    pool.reserve(2);
    Places places;
    places.expected = 2;
    pool.run(2, note_place, &places);
    EXPECT_TRUE(CPU_EQUAL(&places.allowed[1], &mine));
}

TEST(CpuThreadPool, MoreThreadsThanProcessorsAreServed) {
    const int threads = cpu::usable_processors() + 2;
    if (threads > static_cast<int>(Places::most)) {
        GTEST_SKIP() << "this machine has more processors than the test has room for";
    }
    cpu::ThreadPool pool;
    pool.reserve(threads);
    Places places;
    places.expected = threads;
    pool.run(threads, note_place, &places);
    EXPECT_EQ(places.arrived, threads);
}
#endif

TEST(CpuThreadPool, ServesSeveralCallersWithoutMixingThem) {
    cpu::ThreadPool pool;
    pool.reserve(3);
    std::vector<std::thread> callers;
    std::atomic<int> wrong{0};
    for (int caller = 0; caller < 4; ++caller) {
        callers.emplace_back([&pool, &wrong, caller] {
            for (int round = 0; round < 500; ++round) {
                Tally tally;
                tally.items = 10 * caller + round % 7;
                pool.run(3, count_items, &tally);
                wrong += tally.done != tally.items || tally.slot_taken_twice ? 1 : 0;
            }
        });
    }
    for (std::thread& caller : callers) {
        caller.join();
    }
    EXPECT_EQ(wrong, 0);
}

TEST(CpuThreadPool, WorkersThatWereNeverUsedEnd) {
    cpu::ThreadPool pool;
    pool.reserve(5);
}

/// One plan run by several threads at once, each with a workspace of its own, gives each the bits that it gives alone.
TEST(CpuProvider, OnePlanRunsOnSeveralThreadsAtOnce) {
    std::mt19937_64 random(11);
    CallOptions call_options;
    call_options.most_experts = 4;
    for (const Variant variant : {Variant::bf16, Variant::int8, Variant::mxfp4}) {
        const Call call(random_problem(variant, random, call_options), random, call_options);
        const std::vector<std::uint8_t> alone = run_cpu(call, {"", 1, false});
        PlanOptions options;
        options.threads = 3;
        const auto plan = make_cpu_provider()->plan(call.spec(), options);
        std::atomic<int> wrong{0};
        std::vector<std::thread> callers;
        for (int caller = 0; caller < 3; ++caller) {
            callers.emplace_back([&] {
                const ExactBuffer workspace(plan->workspace_bytes());
                Operands operands = call.operands();
                operands.workspace = Tensor(workspace.data(), DType::u8, {static_cast<std::int64_t>(workspace.size())});
                for (int round = 0; round < 10; ++round) {
                    const ExactBuffer y(alone.size(), 0xFF);
                    operands.y = Tensor(y.data(), call.operands().y.dtype(), call.operands().y.shape());
                    plan->run(operands);
                    wrong += std::equal(alone.begin(), alone.end(), y.data()) ? 0 : 1;
                }
            });
        }
        for (std::thread& caller : callers) {
            caller.join();
        }
        EXPECT_EQ(wrong, 0);
    }
}

}  // namespace
}  // namespace moegemm::test
