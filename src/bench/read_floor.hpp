/// \file
/// How long this machine takes to read so many bytes and do nothing with them.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "bench/cache_flush.hpp"
#include "bench/thread_team.hpp"

namespace moegemm::bench {

/// Measures pure reads with vector loads by all threads of a team; what was measured once is remembered.
class ReadFloor {
public:
    /// \param team, flush must outlive the object
    ReadFloor(ThreadTeam& team, CacheFlush& flush) : team_(team), flush_(flush) {}

    /// µs to read `bytes` under `rule`: the median of the fastest of several ways, which differ in how many runs of
    /// addresses a thread follows at once and, for little data, in whether more than one thread helps.
    /// \param bytes more than 0
    /// \throws Error out_of_memory
    [[nodiscard]] double microseconds(std::int64_t bytes, CacheRule rule);

private:
    ThreadTeam& team_;
    CacheFlush& flush_;
    std::map<std::pair<std::int64_t, CacheRule>, double> known_;
};

}  // namespace moegemm::bench
