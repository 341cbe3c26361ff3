#include "bench/thread_team.hpp"

#include <algorithm>

#include <sched.h>

namespace moegemm::bench {

int allowed_threads() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));  // more CPUs than the set can hold
}

ThreadTeam::ThreadTeam(int threads) {
    workers_.reserve(static_cast<std::size_t>(threads - 1));
    for (int index = 1; index < threads; ++index) {
        workers_.emplace_back([this, index] { serve(index); });
    }
}

ThreadTeam::~ThreadTeam() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    start_.notify_all();
    for (std::thread& worker : workers_) {
        worker.join();
    }
}

void ThreadTeam::call(const std::function<void(int)>& work, int index) noexcept {
    try {
        work(index);
    } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) {
            failure_ = std::current_exception();
        }
    }
}

void ThreadTeam::serve(int index) {
    std::uint64_t served = 0;
    while (true) {
        const std::function<void(int)>* work = nullptr;
        {
            std::unique_lock lock(mutex_);
            start_.wait(lock, [&] { return stop_ || round_ != served; });
            if (stop_) {
                return;
            }
            served = round_;
            work = work_;
        }
        call(*work, index);
        {
            const std::lock_guard lock(mutex_);
            --running_;
        }
        done_.notify_one();
    }
}

void ThreadTeam::run(const std::function<void(int)>& work) {
    {
        const std::lock_guard lock(mutex_);
        work_ = &work;
        running_ = static_cast<int>(workers_.size());
        ++round_;
    }
    start_.notify_all();
    call(work, 0);
    std::exception_ptr failure;
    {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return running_ == 0; });
        std::swap(failure, failure_);
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

void ThreadTeam::slices(std::int64_t count, std::int64_t granule,
                        const std::function<void(std::int64_t, std::int64_t)>& work) {
    const std::int64_t granules = (count + granule - 1) / granule;
    const std::int64_t each = granules / size();
    const std::int64_t rest = granules % size();
    run([&](int index) {
        const std::int64_t first = index * each + std::min<std::int64_t>(index, rest);
        const std::int64_t last = first + each + (index < rest ? 1 : 0);
        if (first < last) {
            work(first * granule, std::min(last * granule, count));
        }
    });
}

void SpinBarrier::wait() noexcept {
    const std::uint32_t generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        generation_.fetch_add(1, std::memory_order_release);
        return;
    }
    for (int spins = 0; generation_.load(std::memory_order_acquire) == generation; ++spins) {
        if (spins > 10'000) {  // more threads than processors: let the others come
            std::this_thread::yield();
        }
    }
}

}  // namespace moegemm::bench
