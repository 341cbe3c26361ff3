#include "bench/peak.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "bench/cpu_kernels.hpp"
#include "bench/timing.hpp"

namespace moegemm::bench {
namespace {

/// How long to look at a kernel: goes of about 10 ms.
struct Patience {
    int least_goes;
    int most_goes;
};
/// Enough to see which kernel is the fastest.
constexpr Patience glance{5, 5};
/// Enough to meet a moment without other work on the machine, and longer than units that slept, AMX for one, take to
/// reach their full rate.
constexpr Patience look{30, 200};
/// A peak is what was reached this often, within this share of it.
constexpr std::size_t agreeing_goes = 3;
constexpr double agreement = 0.99;

/// Operations a second of all threads together, the best of some goes: other work on the machine only ever slows.
double rate_of(const isa::Peak& peak, ThreadTeam& team, const Patience& patience) {
    constexpr double seconds_a_go = 0.01;
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
    std::array<double, agreeing_goes> best{};  // descending
    for (int i = 0; i < patience.most_goes; ++i) {
        const double rate = static_cast<double>(rounds * peak.operations * team.size()) / go();
        if (rate > best.back()) {
            best.back() = rate;
            std::sort(best.begin(), best.end(), std::greater<>());
        }
        if (i + 1 >= patience.least_goes && best.back() >= agreement * best.front()) {
            break;
        }
    }
    return best.front();
}

}  // namespace

PeakRate::PeakRate(ComputeClass type, ThreadTeam& team) : team_(team) {
    for (const PeakKernel& kernel : peak_kernels()) {
        const bool serves = kernel.type == ComputeClass::bf16 || kernel.type == type;
        if (kernel.available && serves) {
            const isa::Peak peak = kernel.peak();
            const double rate = rate_of(peak, team, glance);
            if (rate > best_) {
                best_ = rate;
                fastest_ = peak;
            }
        }
    }
    best_ = std::max(best_, rate_of(fastest_, team, look));
}

double PeakRate::look_again() {
    best_ = std::max(best_, rate_of(fastest_, team_, glance));
    return best_;
}

}  // namespace moegemm::bench
