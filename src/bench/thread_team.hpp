/// \file
/// Threads that run one function together: for what surrounds a measurement (filling, flushing, checking), and for
/// floors. Between runs they sleep, so that they take nothing from a timed call.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace moegemm::bench {

/// Hardware threads that this process may run on.
[[nodiscard]] int allowed_threads();

/// See the file. The caller of run() is the team's thread 0.
class ThreadTeam {
public:
    explicit ThreadTeam(int threads);
    ~ThreadTeam();
    ThreadTeam(const ThreadTeam&) = delete;
    ThreadTeam& operator=(const ThreadTeam&) = delete;

    [[nodiscard]] int size() const noexcept { return static_cast<int>(workers_.size()) + 1; }

    /// Calls `work(0)` … `work(size() − 1)` at the same time; returns when all have.
    /// The first exception of any of them is thrown.
    void run(const std::function<void(int)>& work);

    /// Calls `work(begin, end)` on slices of [0, count), as even as multiples of `granule` allow.
    void slices(std::int64_t count, std::int64_t granule, const std::function<void(std::int64_t, std::int64_t)>& work);

private:
    void serve(int index);
    void call(const std::function<void(int)>& work, int index) noexcept;

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable start_;
    std::condition_variable done_;
    const std::function<void(int)>* work_ = nullptr;
    std::uint64_t round_ = 0;
    int running_ = 0;
    bool stop_ = false;
    std::exception_ptr failure_;
};

/// Lets the threads of a team meet within a run, to start a measured part together. Spins: a sleeper wakes too late.
class SpinBarrier {
public:
    explicit SpinBarrier(int threads) : threads_(threads) {}
    void wait() noexcept;

private:
    const int threads_;
    std::atomic<int> arrived_{0};
    std::atomic<std::uint32_t> generation_{0};
};

}  // namespace moegemm::bench
