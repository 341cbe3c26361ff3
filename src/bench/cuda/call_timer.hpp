/// \file
/// One call's time on a GPU, by events around it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "bench/cuda/meters.hpp"
#include "bench/cuda/stream.hpp"
#include "bench/record.hpp"

namespace moegemm::bench::cuda {

/// Applies the cache rule and times calls. What runs between the rule and the call is the first event alone.
///
///     stream   | write or read 256 MB, or wait 20 µs | event | call | event |
///     host     | enqueues all of it meanwhile                               | reads the meters, waits
///
/// The host's own work of a call is thus done before the call's turn comes, as it is in an engine that runs ahead.
class CallTimer {
public:
    /// \param stream, meters must outlive the object; the stream's device is the current one
    CallTimer(const Stream& stream, MeterReader& meters) : stream_(stream), meters_(meters) {}

    /// Bytes of the buffer that the rule still has to allocate.
    [[nodiscard]] std::int64_t bytes_to_allocate(CacheRule rule) const;

    /// \return µs
    /// \throws Error of the call, or internal with the runtime's reason where it failed on the device
    double time(CacheRule rule, const std::function<void()>& call);

private:
    void apply(CacheRule rule);

    const Stream& stream_;
    MeterReader& meters_;
    Event begin_;
    Event end_;
    std::shared_ptr<void> buffer_;
};

}  // namespace moegemm::bench::cuda
