/// \file
/// Where FlashInfer's compiled modules are, and the ones that were loaded.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "providers/flashinfer/module.hpp"

namespace moegemm::flashinfer {

/// Folders and files, separated by ':', that are searched instead of FlashInfer's own places: a folder holds
/// MODULE/MODULE.so, as FlashInfer's do, or MODULE.so.
inline constexpr const char* path_variable = "MOEGEMM_FLASHINFER_PATH";

/// Folders that hold MODULE/MODULE.so, in the order in which they are searched: those of `path_variable`; where it is
/// not set, what is installed for Python (flashinfer-jit-cache, or FlashInfer's own package), then what FlashInfer
/// built when it was first called, the newest version first.
[[nodiscard]] std::vector<std::filesystem::path> module_folders();

/// The version of FlashInfer that a module is of, as its place tells: "0.7.2.post1"; empty where it does not.
[[nodiscard]] std::string version_at(const std::filesystem::path& module);

/// Modules by name and architecture, each looked for and loaded once. Thread-safe.
class ModuleLibrary {
public:
    /// \param folders          to search
    /// \param any_architecture whether modules without device code will do: tests' doubles
    ModuleLibrary(std::vector<std::filesystem::path> folders, bool any_architecture);

    struct Found {
        std::shared_ptr<const Module> module;
        std::string reason;  ///< why there is none, with the command that would change it
    };
    [[nodiscard]] Found find(std::string_view name, int capability) const;

private:
    [[nodiscard]] Found look_for(std::string_view name, int capability) const;

    std::vector<std::filesystem::path> folders_;
    bool any_architecture_;
    mutable std::mutex mutex_;
    mutable std::map<std::pair<std::string, int>, Found> found_;
};

}  // namespace moegemm::flashinfer
