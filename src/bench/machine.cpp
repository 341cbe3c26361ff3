#include "bench/machine.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <hwloc.h>
#include <sys/utsname.h>
#include <nlohmann/json.hpp>

#include "bench/file.hpp"
#include "bench/host_memory.hpp"
#include "bench/thread_team.hpp"
#include "cpu/features.hpp"

namespace moegemm::bench {
namespace {

struct Destroy {
    void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, Destroy>;

Topology load_topology() {
    hwloc_topology_t topology = nullptr;
    if (hwloc_topology_init(&topology) != 0) {
        return nullptr;
    }
    Topology owned(topology);
    return hwloc_topology_load(topology) == 0 ? std::move(owned) : nullptr;
}

int count(hwloc_topology_t topology, hwloc_obj_type_t type) {
    return std::max(0, hwloc_get_nbobjs_by_type(topology, type));
}

/// The value of `key` in a file of "key<separator>value" lines, without quotes.
std::string text_field(const char* path, const std::string& key, char separator) {
    std::ifstream file(path);
    std::string line;
    const auto trim = [](std::string text) {
        const auto is_edge = [](char letter) { return letter == ' ' || letter == '\t' || letter == '"'; };
        while (!text.empty() && is_edge(text.back())) {
            text.pop_back();
        }
        while (!text.empty() && is_edge(text.front())) {
            text.erase(text.begin());
        }
        return text;
    };
    while (std::getline(file, line)) {
        const auto at = line.find(separator);
        if (at != std::string::npos && trim(line.substr(0, at)) == key) {
            return trim(line.substr(at + 1));
        }
    }
    return {};
}

std::string cpu_name() {
    for (const char* key : {"model name", "Model", "cpu"}) {
        if (std::string name = text_field("/proc/cpuinfo", key, ':'); !name.empty()) {
            return name;
        }
    }
    utsname system{};
    return uname(&system) == 0 ? std::string(system.machine) + " CPU" : "CPU";
}

std::string os_name() {
    utsname system{};
    const std::string kernel =
        uname(&system) == 0 ? fmt::format("{} {} {}", system.sysname, system.release, system.machine) : "unknown";
    const std::string distribution = text_field("/etc/os-release", "PRETTY_NAME", '=');
    return distribution.empty() ? kernel : distribution + ", " + kernel;
}

std::string compiler_name() {
#if defined(__clang__)
    const std::string name = fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
    const std::string name = fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
    const std::string name = "unknown";
#endif
    return name + ", " MOEGEMM_BUILD_TYPE;
}

}  // namespace

Machine probe_machine() {
    Machine machine;
    machine.cpu_name = cpu_name();
    machine.cpu_features = names_of(cpu_features());
    machine.threads_allowed = allowed_threads();
    if (const Topology topology = load_topology()) {
        machine.sockets = count(topology.get(), HWLOC_OBJ_PACKAGE);
        machine.numa_nodes = count(topology.get(), HWLOC_OBJ_NUMANODE);
        machine.cores = count(topology.get(), HWLOC_OBJ_CORE);
        machine.threads = count(topology.get(), HWLOC_OBJ_PU);
        int level = 0;
        for (const hwloc_obj_type_t type :
             {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE}) {
            ++level;
            if (const hwloc_obj_t cache = hwloc_get_obj_by_type(topology.get(), type, 0)) {
                machine.data_caches.push_back({.level = level,
                                               .bytes = static_cast<std::int64_t>(cache->attr->cache.size),
                                               .instances = count(topology.get(), type)});
            }
        }
    }
    machine.memory_bytes = total_memory();
    machine.memory_available_bytes = available_memory();
    machine.os = os_name();
    machine.compiler = compiler_name();
    machine.moegemm_version = MOEGEMM_VERSION;
    double load = 0;
    machine.load_1min = getloadavg(&load, 1) == 1 ? load : 0;
    return machine;
}

nlohmann::ordered_json to_json(const Machine& machine) {
    nlohmann::ordered_json json;
    json["cpu"] = machine.cpu_name;
    json["cpu_features"] = machine.cpu_features;
    json["sockets"] = machine.sockets;
    json["numa_nodes"] = machine.numa_nodes;
    json["cores"] = machine.cores;
    json["threads"] = machine.threads;
    json["threads_allowed"] = machine.threads_allowed;
    json["data_caches"] = nlohmann::ordered_json::array();
    for (const CacheInfo& cache : machine.data_caches) {
        json["data_caches"].push_back({{"level", cache.level}, {"bytes", cache.bytes}, {"instances", cache.instances}});
    }
    json["memory_bytes"] = machine.memory_bytes;
    json["memory_available_bytes"] = machine.memory_available_bytes;
    json["os"] = machine.os;
    json["compiler"] = machine.compiler;
    json["moegemm_version"] = machine.moegemm_version;
    json["load_1min"] = machine.load_1min;
    for (const auto& [key, text] : machine.device) {
        json["device"][key] = text;
    }
    for (const auto& [name, version] : machine.providers) {
        json["providers"][name] = version;
    }
    return json;
}

void write_machine(const std::filesystem::path& folder, const Machine& machine) {
    OutputFile::create(folder / "machine.json")
        .write(to_json(machine).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace moegemm::bench
