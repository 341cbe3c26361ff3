#include "bench/cuda/call_timer.hpp"

#include "bench/cuda/kernels.hpp"
#include "bench/cuda/memory.hpp"
#include "cuda/error.hpp"

namespace moegemm::bench::cuda {
namespace {

using moegemm::cuda::check;

/// Several times the L2 of any GPU there is, and what other GPU benchmarks take.
constexpr std::int64_t buffer_bytes = std::int64_t{256} << 20;

}  // namespace

std::int64_t CallTimer::bytes_to_allocate(CacheRule rule) const {
    return rule == CacheRule::warm || buffer_ ? 0 : buffer_bytes;
}

void CallTimer::apply(CacheRule rule) {
    if (rule == CacheRule::warm) {
        launch_wait(20, stream_.get());
        return;
    }
    if (!buffer_) {
        buffer_ = allocate(buffer_bytes);
        check(cudaMemsetAsync(buffer_.get(), 0x5A, buffer_bytes, stream_.get()), "writing over the cache");
    }
    if (rule == CacheRule::cold) {
        check(cudaMemsetAsync(buffer_.get(), 0x5A, buffer_bytes, stream_.get()), "writing over the cache");
    } else {
        launch_read_over(buffer_.get(), buffer_bytes, stream_.get());
    }
}

double CallTimer::time(CacheRule rule, const std::function<void()>& call) {
    apply(rule);
    check(cudaEventRecord(begin_.get(), stream_.get()), "cudaEventRecord");
    call();
    check(cudaEventRecord(end_.get(), stream_.get()), "cudaEventRecord");
    meters_.read();
    check_finished(cudaEventSynchronize(end_.get()), "the call");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e3;
}

}  // namespace moegemm::bench::cuda
