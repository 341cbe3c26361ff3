#include <array>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>

#include <dlfcn.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "bench/machine.hpp"
#include "cli/command.hpp"
#include "cli/console.hpp"
#include "cli/nvcc.hpp"

namespace moegemm::cli {
namespace {

struct Options {
    bool json = false;
    std::vector<std::string> plugins;
};

/// A shared library that a provider stands on, by the names that its releases install.
struct Library {
    std::string_view name;
    std::array<const char*, 3> files;
};

constexpr std::array<Library, 5> libraries{{
    {"CUDA driver", {"libcuda.so.1", nullptr, nullptr}},
    {"cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12", nullptr}},
    {"cuDNN", {"libcudnn.so.9", nullptr, nullptr}},
    {"oneDNN", {"libdnnl.so.3", nullptr, nullptr}},
    {"TVM FFI (FlashInfer)", {"libtvm_ffi.so", nullptr, nullptr}},
}};

/// The file by which the dynamic linker finds a library.
std::optional<std::string> find_library(const Library& library) {
    for (const char* file : library.files) {
        // Some of them lose memory when they are unloaded: they stay until the program ends.
        void* handle = file == nullptr ? nullptr : dlopen(file, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
        if (handle != nullptr) {
            dlclose(handle);
            return file;
        }
    }
    return std::nullopt;
}

/// The GPUs that NVIDIA's kernel module lists.
std::vector<std::string> find_gpus() {
    std::vector<std::string> names;
    std::error_code failure;
    for (std::filesystem::directory_iterator gpu("/proc/driver/nvidia/gpus", failure), end; !failure && gpu != end;
         gpu.increment(failure)) {
        std::ifstream information(gpu->path() / "information");
        std::string line;
        while (std::getline(information, line)) {
            if (line.starts_with("Model:")) {
                names.push_back(line.substr(std::min(line.find_first_not_of(" \t", 6), line.size())));
            }
        }
    }
    return names;
}

std::optional<std::string> find_driver() {
    std::ifstream version("/proc/driver/nvidia/version");
    std::string line;
    if (!std::getline(version, line)) {
        return std::nullopt;
    }
    return line;
}

/// What doctor looked for, by name, and what it found.
struct Finding {
    std::string name;
    std::optional<std::string> found;
    std::string remedy;  ///< where something can be done about a thing that was not found
};

Finding nvcc_finding() {
    std::error_code ignored;
    const Nvcc nvcc = find_nvcc(std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path());
    return {"nvcc",
            nvcc.file.empty() ? std::nullopt : std::optional(fmt::format("{}, release {}", nvcc.file, nvcc.release)),
            nvcc.reason};
}

std::vector<Finding> find_gpu_parts() {
    const std::vector<std::string> gpus = find_gpus();
    std::vector<Finding> findings;
    findings.push_back(
        {"NVIDIA GPUs", gpus.empty() ? std::nullopt : std::optional(fmt::format("{}", fmt::join(gpus, ", "))), ""});
    findings.push_back({"NVIDIA kernel module", find_driver(), ""});
    findings.push_back(nvcc_finding());
    for (const Library& library : libraries) {
        findings.push_back({std::string(library.name), find_library(library), ""});
    }
    return findings;
}

void print_json(const Registry& registry) {
    nlohmann::ordered_json json;
    json["machine"] = bench::to_json(bench::probe_machine());
    for (const Finding& finding : find_gpu_parts()) {
        json["found"][finding.name] = finding.found ? nlohmann::ordered_json(*finding.found) : nlohmann::ordered_json();
        if (!finding.remedy.empty()) {
            json["remedies"][finding.name] = finding.remedy;
        }
    }
    for (const ProviderStatus& status : registry.status()) {
        json["providers"][status.name] = {
            {"available", status.available}, {"reason", status.reason}, {"remedy", status.remedy}};
    }
    std::cout << json.dump(2) << '\n';
}

void print_text(const Registry& registry) {
    const bench::Machine machine = bench::probe_machine();
    std::vector<std::vector<std::string>> rows{
        {"CPU", machine.cpu_name},
        {"features", fmt::format("{}", fmt::join(machine.cpu_features, " "))},
        {"threads", fmt::format("{} on {} cores, {} sockets, {} NUMA nodes; {} for this process", machine.threads,
                                machine.cores, machine.sockets, machine.numa_nodes, machine.threads_allowed)},
    };
    for (const bench::CacheInfo& cache : machine.data_caches) {
        rows.push_back(
            {fmt::format("L{} cache", cache.level), fmt::format("{} x {}", cache.instances, bytes_text(cache.bytes))});
    }
    rows.push_back({"memory", fmt::format("{}, {} available", bytes_text(machine.memory_bytes),
                                          bytes_text(machine.memory_available_bytes))});
    rows.push_back({"system", machine.os});
    rows.push_back(
        {"load", fmt::format("{:.2f}{}", machine.load_1min,
                             machine.load_1min > 0.5 ? ": other work on this machine falsifies figures" : "")});
    rows.push_back({"moegemm", fmt::format("{}, {}", machine.moegemm_version, machine.compiler)});
    for (const Finding& finding : find_gpu_parts()) {
        rows.push_back({finding.name, finding.found.value_or(
                                          finding.remedy.empty() ? "not found" : "none to use; " + finding.remedy)});
    }
    print_columns(rows);
    std::cout << '\n';
    rows = {{"provider", "available", "what would make it so"}};
    for (const ProviderStatus& status : registry.status()) {
        rows.push_back({status.name, status.available ? "yes" : "no",
                        status.available ? "" : fmt::format("{} ({})", status.remedy, status.reason)});
    }
    print_columns(rows);
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
    CLI::App* command =
        app.add_subcommand("doctor", "Show what this machine has, and what would make more providers available");
    command->footer(
        "Examples:\n"
        "  moegemm doctor\n"
        "  moegemm doctor --json");
    auto options = std::make_shared<Options>();
    command->add_flag("--json", options->json, "Print JSON");
    add_plugin_option(*command, options->plugins);
    command->callback([options, &action] {
        action = [options] {
            const OpenRegistry open = open_registry(options->plugins);
            options->json ? print_json(open.registry) : print_text(open.registry);
            return open.failed ? exit_failed : exit_ok;
        };
    });
}

}  // namespace moegemm::cli
