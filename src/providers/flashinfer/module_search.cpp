#include "providers/flashinfer/module_search.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include "providers/flashinfer/entry.hpp"
#include "providers/flashinfer/module_file.hpp"

namespace moegemm::flashinfer {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::vector<fs::path> split(std::string_view paths) {
    std::vector<fs::path> all;
    while (!paths.empty()) {
        const std::size_t colon = paths.find(':');
        if (const std::string_view entry = paths.substr(0, colon); !entry.empty()) {
            all.emplace_back(entry);
        }
        paths = colon == std::string_view::npos ? std::string_view() : paths.substr(colon + 1);
    }
    return all;
}

/// The folders in a folder, the last by name first: newer versions before older ones.
std::vector<fs::path> folders_in(const fs::path& folder) {
    std::vector<fs::path> all;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        if (std::error_code ignored; entry->is_directory(ignored)) {
            all.push_back(entry->path());
        }
    }
    std::sort(all.begin(), all.end(), std::greater<>());
    return all;
}

void add_if_there(std::vector<fs::path>& all, const fs::path& folder) {
    if (std::error_code ignored; fs::is_directory(folder, ignored)) {
        all.push_back(folder);
    }
}

/// Where Python's packages may be: nothing here asks Python.
std::vector<fs::path> site_folders() {
    std::vector<fs::path> sites = split(variable("PYTHONPATH"));
    std::vector<fs::path> prefixes;
    for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
        if (const std::string prefix = variable(name); !prefix.empty()) {
            prefixes.emplace_back(prefix);
        }
    }
    if (const std::string home = variable("HOME"); !home.empty()) {
        prefixes.push_back(fs::path(home) / ".local");
    }
    prefixes.emplace_back("/usr/local");
    prefixes.emplace_back("/usr");
    for (const fs::path& prefix : prefixes) {
        for (const fs::path& version : folders_in(prefix / "lib")) {
            if (version.filename().string().starts_with("python3")) {
                add_if_there(sites, version / "site-packages");
                add_if_there(sites, version / "dist-packages");
            }
        }
    }
    return sites;
}

std::string build_command(std::string_view name) {
    const auto module =
        std::find_if(modules.begin(), modules.end(), [&](const ModuleInfo& m) { return m.name == name; });
    return fmt::format(
        "FLASHINFER_CUDA_ARCH_LIST={} python3 -c 'from flashinfer.jit.gemm import {}; {}().build_and_load()', with "
        "flashinfer-python and nvcc installed",
        module->architectures, module->generator, module->generator);
}

/// The entries' functions of a module on a capability.
std::vector<std::string_view> functions_of(std::string_view name, int capability) {
    std::vector<std::string_view> functions;
    for (const Entry& entry : entries) {
        if (entry.module == name && find_entry(entry.variant, capability) == &entry &&
            std::find(functions.begin(), functions.end(), entry.function) == functions.end()) {
            functions.push_back(entry.function);
        }
    }
    return functions;
}

}  // namespace

std::vector<fs::path> module_folders() {
    if (const std::string named = variable(path_variable); !named.empty()) {
        return split(named);
    }
    std::vector<fs::path> all;
    for (const fs::path& site : site_folders()) {
        // The package, and in newer versions one for each set of architectures beside it.
        for (const fs::path& package : folders_in(site)) {
            if (package.filename().string().starts_with("flashinfer_jit_cache")) {
                add_if_there(all, package / "jit_cache");
            }
        }
        add_if_there(all, site / "flashinfer/data/aot");
    }
    const std::string base = variable("FLASHINFER_WORKSPACE_BASE");
    const fs::path cache = fs::path(base.empty() ? variable("HOME") : base) / ".cache/flashinfer";
    for (const fs::path& version : folders_in(cache)) {
        for (const fs::path& architectures : folders_in(version)) {
            add_if_there(all, architectures / "cached_ops");
        }
    }
    return all;
}

std::string version_at(const fs::path& module) {
    // …/flashinfer/VERSION/ARCHITECTURES/cached_ops/MODULE/MODULE.so
    const fs::path cached = module.parent_path().parent_path();
    if (cached.filename() == "cached_ops") {
        return cached.parent_path().parent_path().filename().string();
    }
    // SITE/flashinfer_jit_cache/jit_cache/MODULE/MODULE.so, beside SITE/flashinfer_jit_cache-VERSION.dist-info
    const fs::path package = cached.parent_path();
    const std::string prefix = package.filename().string() + "-";
    constexpr std::string_view suffix = ".dist-info";
    for (const fs::path& folder : folders_in(package.parent_path())) {
        const std::string name = folder.filename().string();
        if (name.starts_with(prefix) && name.ends_with(suffix)) {
            return name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
        }
    }
    return {};
}

ModuleLibrary::ModuleLibrary(std::vector<fs::path> folders, bool any_architecture)
    : folders_(std::move(folders)), any_architecture_(any_architecture) {}

ModuleLibrary::Found ModuleLibrary::find(std::string_view name, int capability) const {
    const std::lock_guard lock(mutex_);
    const auto [place, is_new] = found_.try_emplace({std::string(name), capability});
    if (is_new) {
        place->second = look_for(name, capability);
    }
    return place->second;
}

ModuleLibrary::Found ModuleLibrary::look_for(std::string_view name, int capability) const {
    if (std::string reason = why_not_this_tvm_ffi(); !reason.empty()) {
        return {nullptr, std::move(reason)};
    }
    const std::string file = fmt::format("{}.so", name);
    std::string refused;
    for (const fs::path& folder : folders_) {
        for (const fs::path& path : {folder / name / file, folder / file}) {
            if (std::error_code ignored; !fs::exists(path, ignored)) {
                continue;
            }
            try {
                const std::vector<DeviceCode> code = read_module_file(path);
                if (!runs_on(code, capability) && !(code.empty() && any_architecture_)) {
                    throw Error(ErrorCode::plugin, "module", path.string(),
                                fmt::format("a module with code for compute capability {}: it has {}",
                                            capability_text(capability), text_of(code)));
                }
                return {std::make_shared<Module>(path, functions_of(name, capability)), {}};
            } catch (const Error& error) {
                refused += refused.empty() ? error.what() : fmt::format("; {}", error.what());
            }
        }
    }
    std::vector<std::string> places;
    for (const fs::path& folder : folders_) {
        places.push_back(folder.string());
    }
    const std::string what =
        !refused.empty()
            ? fmt::format("FlashInfer's module {} cannot be used: {}", name, refused)
            : fmt::format("FlashInfer's module {} is not here (searched: {}; {} names other folders)", name,
                          places.empty() ? "none of its folders is there" : fmt::format("{}", fmt::join(places, ", ")),
                          path_variable);
    return {nullptr, fmt::format("{}; to build it: {}", what, build_command(name))};
}

}  // namespace moegemm::flashinfer
