#include "provider/plugin_search.hpp"

#include <cstdlib>
#include <string_view>

#include <moegemm/error.hpp>

#include "provider/foreign_library.hpp"

namespace moegemm {
namespace {

void append(std::vector<std::string>& errors, std::vector<std::string> more) {
    errors.insert(errors.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// What MOEGEMM_PLUGIN_PATH names.
std::vector<std::filesystem::path> named_paths() {
    std::vector<std::filesystem::path> paths;
    const char* variable = std::getenv(plugin_path_variable);
    std::string_view rest = variable == nullptr ? "" : variable;
    while (!rest.empty()) {
        const std::size_t colon = rest.find(':');
        if (const std::string_view entry = rest.substr(0, colon); !entry.empty()) {
            paths.emplace_back(entry);
        }
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    }
    return paths;
}

}  // namespace

std::vector<std::filesystem::path> default_plugin_folders() {
    const std::filesystem::path folder = program_folder();
    if (folder.empty()) {
        return {};
    }
    return {folder / "plugins", (folder / "../lib/moegemm/plugins").lexically_normal()};
}

std::vector<std::filesystem::path> plugin_folders() {
    std::vector<std::filesystem::path> folders = named_paths();
    std::erase_if(folders, [](const std::filesystem::path& path) {
        std::error_code ignored;
        return !std::filesystem::is_directory(path, ignored);
    });
    const std::vector<std::filesystem::path> defaults = default_plugin_folders();
    folders.insert(folders.end(), defaults.begin(), defaults.end());
    return folders;
}

std::vector<std::string> load_plugins_at(Registry& registry, const std::filesystem::path& path) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) {
        return registry.load_plugins(path);
    }
    try {
        registry.load_plugin(path);
        return {};
    } catch (const Error& error) {
        return {error.what()};
    }
}

std::vector<std::string> load_default_plugins(Registry& registry) {
    std::vector<std::string> errors;
    for (const std::filesystem::path& path : named_paths()) {
        append(errors, load_plugins_at(registry, path));
    }
    for (const std::filesystem::path& folder : default_plugin_folders()) {
        append(errors, registry.load_plugins(folder));
    }
    return errors;
}

}  // namespace moegemm
