#include "bench/cuda/read_floor.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "bench/cuda/kernels.hpp"
#include "bench/cuda/memory.hpp"
#include "bench/cuda/operand_fill.hpp"
#include "bench/timing.hpp"

namespace moegemm::bench::cuda {
namespace {

using Kind = ReadWay::Kind;

// 64 to 128 KB in flight a multiprocessor is what covers HBM's latency; more only queues.
constexpr std::array<ReadWay, 10> ways{{
    {Kind::vectors, 1, 0, 0},
    {Kind::vectors, 2, 0, 0},
    {Kind::vectors, 4, 0, 0},
    {Kind::ring, 1, 8 << 10, 12},
    {Kind::ring, 1, 16 << 10, 4},
    {Kind::ring, 1, 16 << 10, 6},
    {Kind::ring, 1, 16 << 10, 8},
    {Kind::ring, 1, 32 << 10, 3},
    {Kind::ring, 1, 32 << 10, 4},
    {Kind::ring, 2, 16 << 10, 3},
}};

}  // namespace

double ReadFloor::microseconds(std::int64_t bytes, CacheRule rule) {
    constexpr std::int64_t granule = 4096;
    const std::int64_t whole = (bytes + granule - 1) / granule * granule;
    const auto key = std::pair(whole, rule);
    if (const auto known = known_.find(key); known != known_.end()) {
        return known->second;
    }
    const std::shared_ptr<void> data = allocate(whole);
    fill_in_order({.seed = 0, .stream = 0, .dtype = DType::bf16, .exponent = 0}, data.get(), whole / 2, stream_.get());
    const auto read = [&](const ReadWay& way) {
        return timer_.time(rule, [&] { launch_read(way, data.get(), whole, multiprocessors_, stream_.get()); });
    };
    struct Trial {
        const ReadWay* way;
        double microseconds;
    };
    std::vector<Trial> trials;
    for (const ReadWay& way : ways) {
        if (way.kind == Kind::ring && !has_bulk_copies_) {
            continue;
        }
        (void)read(way);
        std::vector<double> samples(7);
        std::generate(samples.begin(), samples.end(), [&] { return read(way); });
        trials.push_back({&way, summarize(std::move(samples), 0).median});
    }
    // The best of few samples is a lucky one: the first three are measured again, for as long as a case would be.
    std::sort(trials.begin(), trials.end(),
              [](const Trial& a, const Trial& b) { return a.microseconds < b.microseconds; });
    trials.resize(std::min<std::size_t>(trials.size(), 3));
    constexpr StoppingRule long_enough{.min_samples = 21, .min_seconds = 0.01, .max_seconds = 0.1};
    double best = 0;
    for (const Trial& trial : trials) {
        const double median = sample_until(
                                  long_enough, [&] { return read(*trial.way); }, steady_seconds, nullptr)
                                  .median;
        best = best == 0 ? median : std::min(best, median);
    }
    known_.emplace(key, best);
    return best;
}

}  // namespace moegemm::bench::cuda
