// The benchmark's CUDA device on a GPU: operands, timing, floors. Each test is skipped where there is none.
#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <tuple>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <moegemm/error.hpp>
#include <moegemm/reference.hpp>

#include "bench/case_of.hpp"
#include "bench/guarded_buffer.hpp"
#include "bench/operand_fill.hpp"
#include "bench/timing.hpp"
#include "gpu_device.hpp"

namespace moegemm::bench {
namespace {

using moegemm::test::gpu_device;
using test::CaseWords;
using test::problem_of;

class CudaDevice : public testing::Test {
protected:
    void SetUp() override {
        if (gpu_device().device == nullptr) {
            GTEST_SKIP() << gpu_device().reason;
        }
    }
    static Device& device() { return *gpu_device().device; }
};

double median_us(Device& device, CacheRule rule, const std::function<void()>& call, int samples = 31) {
    std::vector<double> times;
    for (int i = 0; i < samples; ++i) {
        times.push_back(device.time(rule, call));
    }
    return summarize(times, 0).median;
}

TEST_F(CudaDevice, SaysWhatItIs) {
    EXPECT_EQ(device().dl().device_type, kDLCUDA);
    EXPECT_EQ(device().backend(), "GPU");
    EXPECT_EQ(device().timing_method(), "cuda-events");
    EXPECT_FALSE(device().sku_name().empty());
    EXPECT_GT(device().available_bytes(), 0);
    for (const auto& [key, text] : device().details()) {
        fmt::print("{}: {}\n", key, text);
        EXPECT_FALSE(text.empty()) << key;
    }
}

TEST_F(CudaDevice, FillsBitForBitAsTheHost) {
    ThreadTeam team(2);
    for (const VariantInfo& row : variants) {
        for (const ScaleLayout layout : row.layouts) {
            CaseWords words{.variant = row.id,
                            .tokens = 301,
                            .experts = 5,
                            .n = 133,
                            .k = 288,
                            .dst = "bfloat16",
                            .layout = layout == ScaleLayout::none ? "" : std::string(to_string(layout))};
            const Problem problem = problem_of(words, "zipf:1", 5);
            Operands on_host;
            Operands on_device;
            std::vector<std::vector<std::uint8_t>> memory;
            std::vector<GuardedBuffer> buffers;
            memory.reserve(role_count);
            buffers.reserve(role_count);
            for (const TensorSpec& tensor : tensor_specs(problem.spec(), problem.rows())) {
                memory.emplace_back(static_cast<std::size_t>(tensor.bytes), 0xEE);
                buffers.emplace_back(device(), tensor.name, tensor.bytes);
                device().set(buffers.back().data(), 0xEE, tensor.bytes);
                on_host[tensor.role] = Tensor(memory.back().data(), tensor.dtype, tensor.shape);
                on_device[tensor.role] = Tensor(buffers.back().data(), tensor.dtype, tensor.shape, device().dl());
            }
            fill_operands(problem, 9, on_host, team);
            device().fill(problem, 9, on_device);
            for (std::size_t i = 0; i < memory.size(); ++i) {
                std::vector<std::uint8_t> copy(memory[i].size());
                device().copy_to_host(copy.data(), buffers[i].data(), buffers[i].bytes());
                EXPECT_EQ(copy, memory[i]) << row.name << ", tensor " << i;
                EXPECT_EQ(buffers[i].damage(), "");
            }
            const auto rows = device().rows(problem, on_device, 9);
            const HostOperandRows stored(problem.spec(), on_host, problem.m_indptr());
            EXPECT_EQ(reference(problem, *rows), reference(problem, stored)) << row.name;
        }
    }
}

TEST_F(CudaDevice, CopiesAndSets) {
    const auto memory = device().allocate(10'000);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % 4096, 0U);
    std::vector<std::uint8_t> bytes(10'000);
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
    device().copy_from_host(memory.get(), bytes.data(), 10'000);
    device().set(static_cast<std::byte*>(memory.get()) + 5'000, 7, 100);
    std::fill_n(bytes.begin() + 5'000, 100, std::uint8_t{7});
    std::vector<std::uint8_t> back(10'000);
    device().copy_to_host(back.data(), memory.get(), 10'000);
    EXPECT_EQ(back, bytes);
    device().copy_to_host(nullptr, nullptr, 0);
}

TEST_F(CudaDevice, SaysThatMemoryIsShortAndGoesOn) {
    try {
        (void)device().allocate(device().available_bytes() + (1 << 20));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    }
    EXPECT_NE(device().allocate(1), nullptr);
}

TEST_F(CudaDevice, TimesWhatTheCallTakes) {
    (void)device().take_meters();
    const auto empty = [] { device().empty_call(); };
    for (const CacheRule rule : {CacheRule::cold, CacheRule::clean, CacheRule::warm}) {
        const double time = median_us(device(), rule, empty);
        fmt::print("empty, {}: {:.2f} us\n", to_string(rule), time);
        EXPECT_GT(time, 0.5);
        EXPECT_LT(time, 30.0);
    }
    const std::int64_t bytes = std::int64_t{1} << 30;
    const auto memory = device().allocate(bytes);
    const auto write = [&] { device().set(memory.get(), 1, bytes); };
    const double half = median_us(device(), CacheRule::cold, [&] { device().set(memory.get(), 1, bytes / 2); });
    const double whole = median_us(device(), CacheRule::cold, write);
    fmt::print("writing 1 GiB: {:.1f} us, half of it {:.1f} us\n", whole, half);
    EXPECT_GT(whole, 1.5 * half);
    const auto replay = device().replay(CacheRule::cold, write);
    ASSERT_TRUE(replay);
    const double graph = replay();
    EXPECT_GT(graph, half);
    EXPECT_LT(graph, 2 * whole);
    const Meters meters = device().take_meters();
    fmt::print("meters: {:.0f} MHz, {:.0f} W\n", meters.clock_mhz.value_or(0), meters.power_w.value_or(0));
}

TEST_F(CudaDevice, ACallThatThrowsIsPassedOnAndForgotten) {
    const auto bad = [] { throw Error(ErrorCode::unsupported, "spec", "x", "y"); };
    EXPECT_THROW((void)device().time(CacheRule::cold, bad), Error);
    EXPECT_THROW((void)device().replay(CacheRule::cold, bad), Error);
    EXPECT_GT(device().time(CacheRule::cold, [] { device().empty_call(); }), 0);
}

TEST_F(CudaDevice, ACallThatFailsOnTheDeviceIsAnErrorAndTheNextOneRuns) {
    try {
        (void)device().time(CacheRule::cold, [] { device().set(nullptr, 1, 4096); });
        FAIL() << "memory at 0 was set";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::internal) << error.what();
        EXPECT_NE(std::string(error.what()).find("cudaErrorInvalidValue"), std::string::npos) << error.what();
    }
    EXPECT_GT(device().time(CacheRule::cold, [] { device().empty_call(); }), 0);
}

/// What a pure read must reach on an H200, or the floor is at fault (µs, cold).
TEST_F(CudaDevice, ReadsAsFastAsTheMemoryAllows) {
    struct Goal {
        std::int64_t bytes;
        double cold_us;
    };
    const bool h200 = device().sku_name().find("H200") != std::string::npos;
    for (const auto& [bytes, most] :
         {Goal{71'303'168, 23.5}, Goal{134'217'728, 39}, Goal{268'435'456, 73}, Goal{1'879'048'192, 445}}) {
        const double cold = device().read_floor_us(bytes, CacheRule::cold);
        const double clean = device().read_floor_us(bytes, CacheRule::clean);
        fmt::print("reading {:.0f} MB: cold {:.1f} us, clean {:.1f} us\n", static_cast<double>(bytes) / 1e6, cold,
                   clean);
        EXPECT_EQ(device().read_floor_us(bytes, CacheRule::cold), cold);  // measured once
        if (h200) {
            EXPECT_LE(cold, most);
        }
    }
    for (const std::int64_t bytes : {1, 16, 4097, 100'000}) {
        EXPECT_GT(device().read_floor_us(bytes, CacheRule::warm), 0);
    }
}

TEST_F(CudaDevice, MultipliesAsFastAsCublasLt) {
    for (const auto& [m, n, k] : {std::tuple{16, 2048, 4096}, {8192, 2048, 4096}, {65536, 2048, 4096}}) {
        for (const ComputeClass type : {ComputeClass::bf16, ComputeClass::fp8}) {
            const auto time = device().compute_floor_us(m, n, k, type, CacheRule::cold);
            fmt::print("{} x {} x {} {}: {:.1f} us, {:.0f} TFLOP/s\n", m, n, k,
                       type == ComputeClass::bf16 ? "bf16" : "e4m3", time.value_or(0),
                       time ? 2.0 * m * n * k / *time / 1e6 : 0.0);
            if (time) {
                EXPECT_GT(*time, 2.0 * m * n * k / 1e10);  // 10 PFLOP/s are out of reach
            }
        }
    }
    EXPECT_FALSE(device().compute_floor_us(1 << 30, 1 << 30, 1 << 30, ComputeClass::bf16, CacheRule::cold));
    EXPECT_FALSE(device().dense_sample(1 << 30, 1 << 30, 1 << 30, ComputeClass::bf16, CacheRule::cold));
}

TEST_F(CudaDevice, SamplesTheDenseProductAndReleasesIt) {
    constexpr std::int64_t m = 16384;
    constexpr std::int64_t n = 2048;
    constexpr std::int64_t k = 4096;
    for (const ComputeClass type : {ComputeClass::bf16, ComputeClass::int8}) {
        const auto floor = device().compute_floor_us(m, n, k, type, CacheRule::cold);
        const std::int64_t before = device().available_bytes();
        std::function<double()> sample = device().dense_sample(m, n, k, type, CacheRule::cold);
        ASSERT_EQ(floor.has_value(), static_cast<bool>(sample));
        if (!sample) {
            continue;
        }
        std::vector<double> samples(31);
        std::generate(samples.begin(), samples.end(), sample);
        const double median = summarize(samples, 0).median;
        fmt::print("measured once {:.1f} us, sampled later {:.1f} us\n", *floor, median);
        EXPECT_GT(median, 0.7 * *floor);  // clocks differ by less
        EXPECT_LT(median, 1.4 * *floor);
        EXPECT_LT(device().available_bytes(), before);
        sample = nullptr;
        EXPECT_EQ(device().available_bytes(), before);
    }
}

TEST_F(CudaDevice, SaysThatTheDenseProductDoesNotFit) {
    constexpr std::int64_t m = 16384;
    if (!device().compute_floor_us(m, 2048, 4096, ComputeClass::bf16, CacheRule::cold)) {
        GTEST_SKIP() << "no cuBLASLt";
    }
    constexpr std::int64_t left = std::int64_t{64} << 20;  // less than A
    const auto hog = device().allocate(device().available_bytes() - left);
    const std::int64_t before = device().available_bytes();
    try {
        (void)device().dense_sample(m, 2048, 4096, ComputeClass::bf16, CacheRule::cold);
        FAIL() << "there was too little memory";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::out_of_memory) << error.what();
    }
    EXPECT_EQ(device().available_bytes(), before);
}

}  // namespace
}  // namespace moegemm::bench
