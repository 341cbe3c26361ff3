#include "provider/foreign_library.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moegemm {
namespace {

namespace fs = std::filesystem;

/// What a try to load a file gave.
struct Loaded {
    void* handle;
    std::string path;
    std::string reason;  ///< the loader's, where it is null
};

Loaded load(const std::string& file) {
    // Local symbols: two libraries may bring another version of the same one.
    void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) {
        return {handle, file, ""};
    }
    const char* reason = dlerror();
    return {nullptr, file, reason == nullptr ? "the loader gives no reason" : reason};
}

bool is_file(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

/// The roots of the environments that this process belongs to.
std::vector<fs::path> environment_roots() {
    std::vector<fs::path> roots;
    for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
        if (const char* root = std::getenv(variable); root != nullptr && *root != '\0') {
            roots.emplace_back(root);
        }
    }
    if (const fs::path folder = program_folder(); !folder.empty()) {
        roots.push_back(folder.parent_path());  // where the program is Python, its prefix
    }
    return roots;
}

}  // namespace

ForeignLibrary ForeignLibrary::open(const LibrarySearch& search) {
    const auto refusal = [&](std::string value, std::string allowed) {
        return Error(ErrorCode::unsupported, search.title, std::move(value), std::move(allowed));
    };
    const char* named = std::getenv(search.variable);
    const bool is_named = named != nullptr && *named != '\0';
    std::vector<fs::path> candidates;
    std::error_code ignored;
    if (is_named && !fs::is_directory(named, ignored)) {
        if (!is_file(named)) {
            throw refusal(named, fmt::format("a library or its folder, as {} should name one", search.variable));
        }
        candidates.emplace_back(fs::absolute(named));
    } else {
        for (const fs::path& folder : is_named ? std::vector<fs::path>{fs::absolute(named)} : search.folders) {
            for (const std::string& file : search.files) {
                if (is_file(folder / file)) {
                    candidates.push_back(folder / file);
                }
            }
        }
        if (is_named && candidates.empty()) {
            throw refusal(named, fmt::format("a folder that holds {}, as {} should name one",
                                             fmt::join(search.files, " or "), search.variable));
        }
    }
    std::string reason;
    for (const fs::path& candidate : candidates) {
        Loaded loaded = load(candidate.string());
        if (loaded.handle != nullptr) {
            return {search.title, std::move(loaded.path), loaded.handle};
        }
        reason = reason.empty() ? std::move(loaded.reason) : reason;
    }
    if (!is_named) {
        for (const std::string& file : search.files) {
            Loaded loaded = load(file);
            if (loaded.handle != nullptr) {
                return {search.title, std::move(loaded.path), loaded.handle};
            }
        }
    }
    if (candidates.empty()) {
        throw refusal("not found", fmt::format("{}, in the loader's folders or where {} says",
                                               fmt::join(search.files, " or "), search.variable));
    }
    throw refusal(candidates.front().string(), fmt::format("a library that can be loaded ({})", reason));
}

void* ForeignLibrary::address(const char* name) const noexcept { return dlsym(handle_, name); }

std::string unavailable_reason(const Error& error) {
    return error.code() == ErrorCode::unsupported
               ? fmt::format("{}: {}; needed is {}", error.argument(), error.value(), error.allowed())
               : error.what();
}

std::vector<fs::path> environment_library_folders() {
    std::vector<fs::path> folders;
    for (const fs::path& root : environment_roots()) {
        folders.push_back(root / "lib");
    }
    return folders;
}

std::vector<fs::path> site_packages_folders() {
    std::vector<fs::path> folders;
    for (const fs::path& lib : environment_library_folders()) {
        std::error_code error;
        for (fs::directory_iterator entry(lib, error), end; !error && entry != end; entry.increment(error)) {
            if (!entry->path().filename().string().starts_with("python3")) {
                continue;
            }
            for (const char* packages : {"site-packages", "dist-packages"}) {
                std::error_code ignored;
                if (fs::is_directory(entry->path() / packages, ignored)) {
                    folders.push_back(entry->path() / packages);
                }
            }
        }
    }
    return folders;
}

fs::path program_folder() {
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    return error ? fs::path() : program.parent_path();
}

}  // namespace moegemm
