#include "provider/plugin_library.hpp"

#include <dlfcn.h>

#include <string>

#include <fmt/format.h>

#include <moegemm/error.hpp>
#include <moegemm/plugin.hpp>

namespace moegemm {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, std::string why) {
    throw Error(ErrorCode::plugin, "plugin", path.string(), std::move(why));
}

std::string dl_reason() {
    const char* reason = dlerror();
    return reason == nullptr ? "no reason given" : reason;
}

std::shared_ptr<void> open_library(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) {
        refuse(path, "the path of a shared library; there is no such file");
    }
    // An absolute path, or the loader searches its own folders. Local symbols: two plug-ins may define the same.
    void* handle = dlopen(std::filesystem::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        refuse(path, fmt::format("a shared library that can be loaded ({})", dl_reason()));
    }
    return {handle, [](void* library) { dlclose(library); }};
}

const moegemm_plugin& enter(const std::filesystem::path& path, void* library) {
    auto entry = reinterpret_cast<moegemm_plugin_entry_fn>(dlsym(library, MOEGEMM_PLUGIN_ENTRY));
    if (entry == nullptr) {
        refuse(path, fmt::format("a library that exports {} ({})", MOEGEMM_PLUGIN_ENTRY, dl_reason()));
    }
    const moegemm_plugin* plugin = nullptr;
    try {
        plugin = entry(MOEGEMM_ABI_VERSION);
    } catch (const std::exception& error) {
        refuse(path,
               fmt::format("a library whose {} throws nothing (it threw \"{}\")", MOEGEMM_PLUGIN_ENTRY, error.what()));
    } catch (...) {
        refuse(path, fmt::format("a library whose {} throws nothing", MOEGEMM_PLUGIN_ENTRY));
    }
    if (plugin == nullptr) {
        refuse(path,
               fmt::format("a library that serves ABI version {}; it answers that it does not", MOEGEMM_ABI_VERSION));
    }
    if (plugin->abi_version != MOEGEMM_ABI_VERSION) {
        refuse(path, fmt::format("a library of ABI version {}; it has {}", MOEGEMM_ABI_VERSION, plugin->abi_version));
    }
    if (plugin->struct_size < sizeof(moegemm_plugin)) {
        refuse(path, fmt::format("a library whose moegemm_plugin.struct_size is at least {}; it is {}",
                                 sizeof(moegemm_plugin), plugin->struct_size));
    }
    if (plugin->provider_count == 0 || plugin->providers == nullptr) {
        refuse(path, "a library that offers at least one provider");
    }
    return *plugin;
}

}  // namespace

std::vector<std::shared_ptr<const Provider>> load_plugin_library(const std::filesystem::path& path) {
    const std::shared_ptr<void> library = open_library(path);
    const moegemm_plugin& plugin = enter(path, library.get());
    std::vector<std::shared_ptr<const Provider>> providers;
    for (std::size_t i = 0; i < plugin.provider_count; ++i) {
        try {
            providers.push_back(import_provider(plugin.providers[i], library));
        } catch (const Error& error) {
            refuse(path,
                   fmt::format("a library whose tables are complete and keep the C ABI's rules ({})", error.what()));
        }
    }
    return providers;
}

}  // namespace moegemm
