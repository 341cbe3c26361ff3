#include "bench/peak.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "bench/cpu_kernels.hpp"
#include "bench/timing.hpp"

namespace moegemm::bench {
namespace {

/// Operations a second of all threads together, the best of a few goes: other work on the machine only ever slows.
double rate_of(const isa::Peak& peak, ThreadTeam& team) {
    constexpr double seconds_a_go = 0.01;
    constexpr int goes = 5;
    std::int64_t rounds = 1000;
    std::atomic<double> sink{0};
    const auto go = [&] {
        SpinBarrier barrier(team.size());
        double seconds = 0;
        team.run([&](int index) {
            barrier.wait();
            const double start = steady_seconds();
            sink.store(peak.run(rounds), std::memory_order_relaxed);
            barrier.wait();
            if (index == 0) {
                seconds = steady_seconds() - start;
            }
        });
        return seconds;
    };
    while (go() < seconds_a_go / 2) {
        rounds *= 2;
    }
    double best = 0;
    for (int i = 0; i < goes; ++i) {
        best = std::max(best, static_cast<double>(rounds * peak.operations * team.size()) / go());
    }
    return best;
}

}  // namespace

double measure_peak(ComputeClass type, ThreadTeam& team) {
    double best = 0;
    for (const PeakKernel& kernel : peak_kernels()) {
        const bool serves = kernel.type == ComputeClass::bf16 || kernel.type == type;
        if (kernel.available && serves) {
            best = std::max(best, rate_of(kernel.peak(), team));
        }
    }
    return best;
}

}  // namespace moegemm::bench
