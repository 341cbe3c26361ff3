/// \file
/// Large blocks of host memory.
#pragma once

#include <cstdint>
#include <memory>

namespace moegemm::bench {

/// Zeroed memory straight from the system, aligned to a page, or, from 4 MiB up, to 2 MiB and in pages of that size
/// where the system has them: with small pages a stream of reads is slowed by address translation.
/// \throws Error out_of_memory
[[nodiscard]] std::shared_ptr<void> allocate_host(std::int64_t bytes);

}  // namespace moegemm::bench
