/// \file
/// Threads that are made once and sleep between calls.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace moegemm::cpu {

/// Workers that help a caller with one job at a time. The caller always takes part, and only waits for workers that
/// have begun: one that the system has not scheduled yet is not missed, the others do its share of the queue.
class ThreadPool {
public:
    /// What every thread of a job runs; `slot` is 0 for the caller and another number below `threads` for each worker.
    using Job = void (*)(void* context, int slot);

    ThreadPool() = default;
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    /// The pool of the process.
    [[nodiscard]] static ThreadPool& shared();

    /// Makes workers until a job of so many threads can be served. Once a job may take every processor that the thread
    /// which asks may run on, each worker keeps to one of them, and one is left to callers. Fewer threads are placed by
    /// the system, which knows what processors share and what else runs on them.
    /// \throws std::system_error where the system gives no more threads
    void reserve(int threads);

    /// Runs a job that must not throw, and returns when every thread that began it has left it. Does not allocate.
    /// While another call is being served the job runs on the caller alone, so that calls neither wait for one another
    /// nor share the processors with more threads than there are.
    void run(int threads, Job job, void* context);

private:
    void work();
    void keep_to_processors();
    void step_aside(int threads) const;

    std::mutex serving_;  // held while a job is being served

    std::mutex mutex_;  // guards all below
    std::condition_variable wake_;
    std::condition_variable left_;
    std::vector<std::thread> workers_;
    std::vector<int> processors_;  // that workers keep to, in their order; empty as long as they run anywhere
    Job job_ = nullptr;
    void* context_ = nullptr;
    int next_slot_ = 0;
    int slots_ = 0;  // of the job; 0 when nobody may join any more
    int active_ = 0;
    bool stop_ = false;
    std::atomic<std::uint64_t> jobs_{0};  // written under the mutex; workers watch it for a moment before they sleep
};

/// Processors that this process may run on, at least 1.
[[nodiscard]] int usable_processors() noexcept;

}  // namespace moegemm::cpu
