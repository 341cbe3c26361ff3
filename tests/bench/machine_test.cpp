// What surrounds a measurement on this machine: memory limits, threads, floors.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <stdexcept>

#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "bench/cache_flush.hpp"
#include "bench/cpu_kernels.hpp"
#include "bench/device.hpp"
#include "bench/host_buffer.hpp"
#include "bench/host_memory.hpp"
#include "bench/peak.hpp"
#include "bench/read_floor.hpp"
#include "bench/thread_team.hpp"
#include "scratch_folder.hpp"

namespace moegemm::bench {
namespace {

/// A tree with copies of /proc and /sys.
class HostMemory : public ::testing::Test {
protected:
    HostMemory() {
        put("proc/meminfo", "MemTotal:       8000 kB\nMemFree:         100 kB\nMemAvailable:    5000 kB\n");
    }
    void put(const std::string& path, const std::string& text) { scratch_.write(path, text); }

private:
    test::ScratchFolder scratch_;

protected:
    const std::filesystem::path& root_ = scratch_.path();
};

TEST_F(HostMemory, IsWhatTheMachineHasAvailable) {
    EXPECT_EQ(available_memory(root_), 5000 * 1024);
    EXPECT_EQ(total_memory(root_), 8000 * 1024);
}

TEST_F(HostMemory, ControlGroupsOfVersionTwoLimitIt) {
    put("proc/self/cgroup", "0::/user/job\n");
    put("sys/fs/cgroup/user/job/memory.max", "max\n");
    put("sys/fs/cgroup/user/memory.max", "3000000\n");
    put("sys/fs/cgroup/user/memory.current", "1000000\n");
    put("sys/fs/cgroup/user/memory.stat", "anon 5\ninactive_file 200000\n");
    EXPECT_EQ(available_memory(root_), 3000000 - 1000000 + 200000);
    EXPECT_EQ(total_memory(root_), 3000000);
}

TEST_F(HostMemory, ControlGroupsOfVersionOneLimitIt) {
    put("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/box\n");
    put("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "2000000\n");
    put("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "500000\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    EXPECT_EQ(available_memory(root_), 1500000);
}

TEST_F(HostMemory, AGroupOverItsLimitLeavesNothing) {
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/memory.max", "1000\n");
    put("sys/fs/cgroup/memory.current", "5000\n");
    EXPECT_EQ(available_memory(root_), 0);
}

TEST(HostBuffer, IsAlignedAndRefusesWhatIsNotThere) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(allocate_host(100).get()) % 4096, 0U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(allocate_host(std::int64_t{5} << 20).get()) % (std::size_t{2} << 20),
              0U);
    try {
        (void)allocate_host(std::int64_t{1} << 60);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    }
    EXPECT_THROW((void)allocate_host(std::numeric_limits<std::int64_t>::max()), Error);
}

TEST(ThreadTeam, RunsEachMemberOnceAndAgain) {
    ThreadTeam team(5);
    for (int round = 0; round < 50; ++round) {
        std::vector<std::atomic<int>> calls(5);
        team.run([&](int index) { ++calls[static_cast<std::size_t>(index)]; });
        for (const std::atomic<int>& count : calls) {
            EXPECT_EQ(count.load(), 1);
        }
    }
}

TEST(ThreadTeam, SlicesCoverEverythingOnce) {
    for (const int threads : {1, 3, 8}) {
        ThreadTeam team(threads);
        for (const std::int64_t count : {0, 1, 7, 64, 1000}) {
            std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
            team.slices(count, 8, [&](std::int64_t begin, std::int64_t end) {
                EXPECT_EQ(begin % 8, 0);
                for (std::int64_t i = begin; i < end; ++i) {
                    ++seen[static_cast<std::size_t>(i)];
                }
            });
            for (const std::atomic<int>& times : seen) {
                EXPECT_EQ(times.load(), 1);
            }
        }
    }
}

TEST(ThreadTeam, HandsOnAnExceptionAndLives) {
    ThreadTeam team(3);
    EXPECT_THROW(team.run([](int index) {
        if (index == 2) {
            throw std::runtime_error("two");
        }
    }),
                 std::runtime_error);
    std::atomic<int> calls{0};
    team.run([&](int) { ++calls; });
    EXPECT_EQ(calls.load(), 3);
}

TEST(SpinBarrier, LetsNobodyPassAlone) {
    ThreadTeam team(4);
    SpinBarrier barrier(4);
    std::atomic<int> arrived{0};
    std::atomic<bool> early{false};
    team.run([&](int) {
        for (int round = 1; round <= 20; ++round) {
            ++arrived;
            barrier.wait();
            if (arrived.load() < 4 * round) {
                early = true;
            }
            barrier.wait();
        }
    });
    EXPECT_FALSE(early.load());
}

TEST(ReadKernels, ReadEveryByteOnce) {
    std::vector<std::byte> memory(4096 * 3 + 64);
    void* base = memory.data();
    std::size_t space = memory.size();
    auto* const data = static_cast<std::byte*>(std::align(64, memory.size() - 64, base, space));
    std::vector<isa::ReadKernel> kernels{isa::read_generic, read_kernel()};
    for (const isa::ReadKernel kernel : kernels) {
        for (const std::size_t streams : {1U, 2U, 4U, 8U}) {
            for (const std::size_t bytes : {0U, 1U, 63U, 64U, 2049U, 8191U, 12000U}) {
                std::fill(memory.begin(), memory.end(), std::byte{0});
                const std::uint64_t zero = kernel(data, bytes, streams);
                EXPECT_EQ(zero, 0U);
                for (std::size_t at = 0; at < bytes; at += 61) {
                    data[at] = std::byte{0x40};
                    EXPECT_NE(kernel(data, bytes, streams), 0U) << bytes << " bytes, " << streams << " streams, " << at;
                    data[at] = std::byte{0};
                }
                data[bytes] = std::byte{0x40};  // the next one is not its own
                EXPECT_EQ(kernel(data, bytes, streams), 0U) << bytes << " bytes, " << streams << " streams";
                data[bytes] = std::byte{0};
            }
        }
    }
}

TEST(Peak, EveryKernelOfThisMachineRunsAndWiderTypesAreSlower) {
    int available = 0;
    for (const PeakKernel& kernel : peak_kernels()) {
        if (kernel.available) {
            ++available;
            const isa::Peak peak = kernel.peak();
            EXPECT_GT(peak.operations, 0) << kernel.name;
            EXPECT_NE(peak.run(100), 0.0) << kernel.name;
        }
    }
    EXPECT_GE(available, 1);
    ThreadTeam team(1);
    PeakRate rate(ComputeClass::bf16, team);
    const double bf16 = rate.best();
    const double int8 = PeakRate(ComputeClass::int8, team).best();
    EXPECT_GE(rate.look_again(), bf16);
    EXPECT_GT(bf16, 1e8);
    EXPECT_LT(bf16, 1e14);
    EXPECT_GT(int8, 0.5 * bf16);
}

TEST(Floors, AreSane) {
    const auto device = make_device("cpu", 1);
    constexpr std::int64_t bytes = std::int64_t{8} << 20;
    const double first = device->read_floor_us(bytes, CacheRule::cold);
    EXPECT_GT(first, static_cast<double>(bytes) / 1e6);  // 1 TB/s a core is out of reach
    EXPECT_LT(first, static_cast<double>(bytes) / 1e1);  // so is less than 10 MB/s
    EXPECT_EQ(device->read_floor_us(bytes, CacheRule::cold), first);
    EXPECT_GT(device->read_floor_us(4 * bytes, CacheRule::warm), 0);

    const auto compute = device->compute_floor_us(64, 64, 64, ComputeClass::bf16, CacheRule::cold);
    ASSERT_TRUE(compute);
    EXPECT_GT(*compute, 0);
    // The peak is looked at again, and only rises.
    EXPECT_LE(device->compute_floor_us(128, 64, 64, ComputeClass::bf16, CacheRule::cold).value(), 2 * *compute);
    EXPECT_LE(device->compute_floor_us(64, 64, 64, ComputeClass::fp8, CacheRule::cold).value(), *compute);
}

TEST(CacheFlush, IsAsLargeAsTheRuleSaysAndAllocatesLate) {
    ThreadTeam team(2);
    CacheFlush flush(team);
    EXPECT_GE(flush.bytes(), std::int64_t{1} << 20);
    EXPECT_LE(flush.bytes(), total_memory() / 8);
    EXPECT_EQ(flush.bytes_to_allocate(), flush.bytes());
    flush.apply(CacheRule::warm);
    EXPECT_EQ(flush.bytes_to_allocate(), flush.bytes());
    flush.apply(CacheRule::clean);
    flush.apply(CacheRule::cold);
    EXPECT_EQ(flush.bytes_to_allocate(), 0);
}

TEST(MakeDevice, RefusesWhatThereIsNot) {
    for (const auto& [name, threads, argument] : {std::tuple{"gpu", 0, "device"},
                                                  {"cuda:", 0, "device"},
                                                  {"cuda:x", 0, "device"},
                                                  {"cuda:-1", 0, "device"},
                                                  {"cuda:4096", 0, "device"},
                                                  {"cpu", -1, "threads"},
                                                  {"cpu", 100000, "threads"}}) {
        try {
            (void)make_device(name, threads);
            FAIL() << name;
        } catch (const Error& error) {
            EXPECT_EQ(error.argument(), argument);
        }
    }
    EXPECT_EQ(make_device("cpu", 3)->threads(), 3);
    EXPECT_GE(make_device("cpu", 0)->threads(), 1);
}

}  // namespace
}  // namespace moegemm::bench
