#include "providers/cpu/thread_pool.hpp"

#include <algorithm>
#include <utility>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace moegemm::cpu {
namespace {

/// About 30 µs: as long as calls follow one another closely, none pays for waking a thread.
constexpr int spins_before_sleep = 512;

void spin_pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/// Processors that this thread may run on, from the one after its present one on, which is the last.
std::vector<int> processors_from_here() {
    std::vector<int> processors;
#if defined(__linux__)
    cpu_set_t set;
    const int here = sched_getcpu();
    if (here >= 0 && sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int i = 1; i <= CPU_SETSIZE; ++i) {
            const int processor = (here + i) % CPU_SETSIZE;
            if (CPU_ISSET(static_cast<std::size_t>(processor), &set)) {
                processors.push_back(processor);
            }
        }
    }
#endif
    return processors;
}

}  // namespace

ThreadPool& ThreadPool::shared() {
    static ThreadPool pool;
    return pool;
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        jobs_.fetch_add(1);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) {
        worker.join();
    }
}

void ThreadPool::reserve(int threads) {
    const std::lock_guard lock(mutex_);
    while (static_cast<int>(workers_.size()) + 1 < threads) {
        workers_.emplace_back([this] { work(); });
    }
    if (processors_.empty()) {
        keep_to_processors();
    }
}

void ThreadPool::keep_to_processors() {
#if defined(__linux__)
    std::vector<int> processors = processors_from_here();
    if (processors.size() < 2 || processors.size() > workers_.size() + 1) {
        return;
    }
    processors.pop_back();
    for (std::size_t i = 0; i < processors.size(); ++i) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(static_cast<std::size_t>(processors[i]), &set);
        (void)pthread_setaffinity_np(workers_[i].native_handle(), sizeof set, &set);
    }
    processors_ = std::move(processors);
#endif
}

/// A caller that happens to run where a worker is kept would share that processor until the system noticed.
void ThreadPool::step_aside([[maybe_unused]] int threads) const {
#if defined(__linux__)
    const auto end = processors_.begin() + std::min<std::ptrdiff_t>(threads - 1, std::ssize(processors_));
    if (std::find(processors_.begin(), end, sched_getcpu()) == end) {
        return;
    }
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return;
    }
    cpu_set_t others = set;
    for (auto processor = processors_.begin(); processor != end; ++processor) {
        CPU_CLR(static_cast<std::size_t>(*processor), &others);
    }
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0) {
        (void)sched_setaffinity(0, sizeof set, &set);
    }
#endif
}

void ThreadPool::run(int threads, Job job, void* context) {
    const std::unique_lock serving(serving_, std::try_to_lock);
    if (threads <= 1 || !serving.owns_lock()) {
        job(context, 0);
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        job_ = job;
        context_ = context;
        next_slot_ = 1;
        slots_ = threads;
        step_aside(threads);
        jobs_.fetch_add(1);
    }
    wake_.notify_all();
    job(context, 0);
    std::unique_lock lock(mutex_);
    slots_ = 0;
    left_.wait(lock, [this] { return active_ == 0; });
}

void ThreadPool::work() {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [&] { return stop_ || jobs_.load() != seen; });
        if (stop_) {
            return;
        }
        seen = jobs_.load();
        if (next_slot_ < slots_) {
            const int slot = next_slot_++;
            const Job job = job_;
            void* context = context_;
            ++active_;
            lock.unlock();
            job(context, slot);
            lock.lock();
            if (--active_ == 0) {
                left_.notify_one();
            }
        }
        lock.unlock();
        for (int spin = 0; spin < spins_before_sleep && jobs_.load(std::memory_order_relaxed) == seen; ++spin) {
            spin_pause();
        }
        lock.lock();
    }
}

int usable_processors() noexcept {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        const int count = CPU_COUNT(&set);
        if (count > 0) {
            return count;
        }
    }
#endif
    const unsigned count = std::thread::hardware_concurrency();
    return count == 0 ? 1 : static_cast<int>(count);
}

}  // namespace moegemm::cpu
