#include "bench/read_floor.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "bench/cpu_kernels.hpp"
#include "bench/host_buffer.hpp"
#include "bench/timing.hpp"

namespace moegemm::bench {
namespace {

/// One way to read.
struct Way {
    int threads;
    std::size_t streams;
};

/// Below this, waking a second thread may cost more than it saves.
constexpr std::int64_t one_thread_bytes = std::int64_t{4} << 20;

std::vector<Way> ways(int threads, std::int64_t bytes) {
    std::vector<Way> list{{threads, 1}, {threads, 2}, {threads, 4}, {threads, 8}};
    if (bytes < one_thread_bytes && threads > 1) {
        list.push_back({1, 1});
        list.push_back({1, 4});
    }
    return list;
}

}  // namespace

double ReadFloor::microseconds(std::int64_t bytes, CacheRule rule) {
    const auto key = std::pair{bytes, rule};
    if (const auto found = known_.find(key); found != known_.end()) {
        return found->second;
    }
    constexpr std::int64_t line = 64;
    const auto buffer = allocate_host(bytes);
    auto* const data = static_cast<std::byte*>(buffer.get());
    team_.slices(bytes, line, [data](std::int64_t begin, std::int64_t end) {
        std::fill(data + begin, data + end, std::byte{0x33});  // real pages, near the thread that will read them
    });
    flush_.prepare(rule);

    const isa::ReadKernel read = read_kernel();
    const auto sample = [&](const Way& way) {
        SpinBarrier barrier(team_.size());
        const std::int64_t lines = (bytes + line - 1) / line;
        double seconds = 0;
        team_.run([&](int index) {
            const bool reads = index < way.threads;
            const std::int64_t begin = reads ? lines * index / way.threads * line : 0;
            const std::int64_t end = reads ? std::min(lines * (index + 1) / way.threads * line, bytes) : 0;
            flush_.apply_slice(rule, index);
            barrier.wait();
            const double start = steady_seconds();
            const std::uint64_t sum = read(data + begin, static_cast<std::size_t>(end - begin), way.streams);
            __asm__ volatile("" : : "r"(sum));
            if (way.threads > 1) {
                barrier.wait();
            }
            if (index == 0) {
                seconds = steady_seconds() - start;
            }
        });
        return seconds * 1e6;
    };
    const auto median = [&](const Way& way, const StoppingRule& stop) {
        return sample_until(
                   stop, [&] { return sample(way); }, steady_seconds, nullptr)
            .median;
    };

    constexpr StoppingRule glance{
        .min_samples = 5, .max_samples = 15, .min_seconds = 0, .max_seconds = 0.06, .precision = 0.01};
    constexpr StoppingRule look{
        .min_samples = 11, .max_samples = 1000, .min_seconds = 0.02, .max_seconds = 0.3, .precision = 0.01};
    double fastest = 0;
    Way best{};
    for (const Way& way : ways(team_.size(), bytes)) {
        const double time = median(way, glance);
        if (best.threads == 0 || time < fastest) {
            fastest = time;
            best = way;
        }
    }
    const double result = median(best, look);
    known_.emplace(key, result);
    return result;
}

}  // namespace moegemm::bench
