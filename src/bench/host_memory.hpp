/// \file
/// How much memory this process can still take.
#pragma once

#include <cstdint>
#include <filesystem>

namespace moegemm::bench {

/// The least of what the machine has available (/proc/meminfo, MemAvailable), what this process's control groups leave
/// (version 1 and 2, with every group above; page cache that can be dropped counts as free), and what the limit on the
/// address space leaves (RLIMIT_AS).
/// \param root "/", or a folder with copies of /proc and /sys
[[nodiscard]] std::int64_t available_memory(const std::filesystem::path& root = "/");

/// MemTotal, or what the control groups allow where that is less.
[[nodiscard]] std::int64_t total_memory(const std::filesystem::path& root = "/");

}  // namespace moegemm::bench
