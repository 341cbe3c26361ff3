/// \file
/// How long a GPU takes to read so many bytes and do nothing with them.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "bench/cuda/call_timer.hpp"
#include "bench/cuda/stream.hpp"

namespace moegemm::bench::cuda {

/// Measures pure reads; what was measured once is remembered.
class ReadFloor {
public:
    /// \param stream, timer must outlive the object
    ReadFloor(const Gpu& gpu, const Stream& stream, CallTimer& timer)
        : multiprocessors_(gpu.multiprocessors), has_bulk_copies_(gpu.major >= 9), stream_(stream), timer_(timer) {}

    /// µs to read `bytes` under `rule`: the median of the fastest way. \param bytes more than 0
    /// \throws Error out_of_memory
    [[nodiscard]] double microseconds(std::int64_t bytes, CacheRule rule);

private:
    int multiprocessors_;
    bool has_bulk_copies_;
    const Stream& stream_;
    CallTimer& timer_;
    std::map<std::pair<std::int64_t, CacheRule>, double> known_;
};

}  // namespace moegemm::bench::cuda
