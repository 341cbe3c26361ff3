/// \file
/// What this machine is, for `machine.json` and `moegemm doctor`. It names no host, user or path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace moegemm::bench {

/// One level of the data caches.
struct CacheInfo {
    int level = 0;
    std::int64_t bytes = 0;  ///< of one instance
    int instances = 0;
};

/// See the file.
struct Machine {
    std::string cpu_name;
    std::vector<std::string> cpu_features;  ///< the instruction sets that kernels care for and the OS enables
    int sockets = 0;
    int numa_nodes = 0;
    int cores = 0;
    int threads = 0;                     ///< hardware threads
    int threads_allowed = 0;             ///< that this process may run on
    std::vector<CacheInfo> data_caches;  ///< from level 1 up
    std::int64_t memory_bytes = 0;
    std::int64_t memory_available_bytes = 0;  ///< also by cgroup and address-space limits
    std::string os;                           ///< distribution and kernel version
    std::string compiler;                     ///< that built this program, and its build type
    std::string moegemm_version;
    std::vector<std::pair<std::string, std::string>> device;     ///< Device::details of what the cases run on
    std::vector<std::pair<std::string, std::string>> providers;  ///< their names and versions, a library's where one is
    double load_1min = 0;  ///< load average: other work on the machine makes figures worthless
};

[[nodiscard]] Machine probe_machine();
[[nodiscard]] nlohmann::ordered_json to_json(const Machine& machine);
/// Writes `folder`/machine.json. \throws Error io
void write_machine(const std::filesystem::path& folder, const Machine& machine);

}  // namespace moegemm::bench
