/// \file
/// The cold-cache rule on a CPU.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/isa/kernels.hpp"
#include "bench/record.hpp"
#include "bench/thread_team.hpp"

namespace moegemm::bench {

/// A buffer of several times the caches, overwritten or read between timed calls by all threads.
class CacheFlush {
public:
    /// \param team must outlive the object
    explicit CacheFlush(ThreadTeam& team);

    /// Bytes of the buffer: four times the last-level and level-2 caches that the process may use, at least 32 MiB, at
    /// most an eighth of the memory.
    [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
    /// Of these, what is still to be allocated: the buffer is made when it is first needed.
    [[nodiscard]] std::int64_t bytes_to_allocate() const noexcept { return buffer_ ? 0 : bytes_; }

    /// Does what the rule says.
    void apply(CacheRule rule);
    /// The share of one thread of the team, for a caller that is one of its threads. prepare() comes first.
    void apply_slice(CacheRule rule, int index);
    void prepare(CacheRule rule);

private:
    ThreadTeam& team_;
    std::int64_t bytes_;
    std::shared_ptr<void> buffer_;
    isa::ReadKernel read_;
};

}  // namespace moegemm::bench
