/// \file
/// Where plug-ins are looked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <moegemm/provider.hpp>

namespace moegemm {

/// The environment variable that names plug-in libraries, and folders of them, separated by ':'.
inline constexpr const char* plugin_path_variable = "MOEGEMM_PLUGIN_PATH";

/// The folders that are searched without being asked for, in this order: `plugins` beside the running program (a build
/// folder), and `../lib/moegemm/plugins` from there (an installation).
[[nodiscard]] std::vector<std::filesystem::path> default_plugin_folders();

/// All folders in which plug-ins are looked for: those that MOEGEMM_PLUGIN_PATH names, then default_plugin_folders().
[[nodiscard]] std::vector<std::filesystem::path> plugin_folders();

/// Adds the plug-ins of `path`, a library or a folder of them, to the registry.
/// \return one error a library that could not be loaded, one for a path that does not exist
[[nodiscard]] std::vector<std::string> load_plugins_at(Registry& registry, const std::filesystem::path& path);

/// Adds the plug-ins that MOEGEMM_PLUGIN_PATH names, then those of default_plugin_folders().
/// \return as load_plugins_at; a default folder that is missing is no error
[[nodiscard]] std::vector<std::string> load_default_plugins(Registry& registry);

}  // namespace moegemm
