#include "bench/host_memory.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace moegemm::bench {
namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

/// The whole number that a file holds; nothing for a missing file or for "max".
std::optional<std::int64_t> read_number(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::string text;
    file >> text;
    std::int64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed == std::errc::result_out_of_range) {
        return unlimited;
    }
    if (text.empty() || failed != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

/// The number after `key` in a file of "key number …" lines.
std::optional<std::int64_t> read_field(const std::filesystem::path& path, std::string_view key) {
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream words(line);
        std::string name;
        std::int64_t value = 0;
        if (words >> name >> value && name == key) {
            return value;
        }
    }
    return std::nullopt;
}

/// The files of one version of control groups.
struct GroupFiles {
    std::string_view limit;
    std::string_view usage;
    std::string_view droppable;  ///< of memory.stat: file pages that are given up before anything is killed
};
constexpr GroupFiles files_v1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr GroupFiles files_v2{"memory.max", "memory.current", "inactive_file"};

struct Headroom {
    std::int64_t limit = unlimited;  ///< the least limit
    std::int64_t left = unlimited;   ///< the least of what a limit leaves
};

/// A group and all above it: each may have the limit that counts.
void look_upwards(const std::filesystem::path& mount, std::filesystem::path group, const GroupFiles& files,
                  Headroom& headroom) {
    while (true) {
        const std::filesystem::path folder = mount / group.relative_path();
        const auto limit = read_number(folder / files.limit);
        if (limit && *limit < unlimited) {
            const std::int64_t used = read_number(folder / files.usage).value_or(0) -
                                      read_field(folder / "memory.stat", files.droppable).value_or(0);
            headroom.limit = std::min(headroom.limit, *limit);
            headroom.left =
                std::min(headroom.left, std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, used)));
        }
        if (!group.has_relative_path()) {
            return;
        }
        group = group.parent_path();
    }
}

/// Lines of /proc/self/cgroup: "0::/path" (version 2), "4:memory:/path" (version 1).
Headroom cgroup_headroom(const std::filesystem::path& root) {
    Headroom headroom;
    std::ifstream file(root / "proc/self/cgroup");
    std::string line;
    while (std::getline(file, line)) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const std::filesystem::path group = line.substr(second + 1);
        if (controllers == ",,") {
            look_upwards(root / "sys/fs/cgroup", group, files_v2, headroom);
            look_upwards(root / "sys/fs/cgroup/unified", group, files_v2, headroom);
        } else if (controllers.find(",memory,") != std::string::npos) {
            look_upwards(root / "sys/fs/cgroup/memory", group, files_v1, headroom);
        }
    }
    return headroom;
}

std::int64_t address_space_left(const std::filesystem::path& root) {
    rlimit limit{};
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return unlimited;
    }
    const std::int64_t used = read_number(root / "proc/self/statm").value_or(0) * ::sysconf(_SC_PAGESIZE);
    const auto allowed = static_cast<std::int64_t>(
        std::min<rlim_t>(limit.rlim_cur, static_cast<rlim_t>(std::numeric_limits<std::int64_t>::max())));
    return std::max<std::int64_t>(0, allowed - used);
}

std::int64_t meminfo(const std::filesystem::path& root, std::string_view key) {
    const auto kilobytes = read_field(root / "proc/meminfo", key);
    return kilobytes ? *kilobytes * 1024 : unlimited;
}

}  // namespace

std::int64_t available_memory(const std::filesystem::path& root) {
    return std::min({meminfo(root, "MemAvailable:"), cgroup_headroom(root).left, address_space_left(root)});
}

std::int64_t total_memory(const std::filesystem::path& root) {
    return std::min(meminfo(root, "MemTotal:"), cgroup_headroom(root).limit);
}

}  // namespace moegemm::bench
