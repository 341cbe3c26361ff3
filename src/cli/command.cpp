#include "cli/command.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/console.hpp"
#include "provider/plugin_search.hpp"

#include <moegemm/error.hpp>

namespace moegemm::cli {

CLI::Range not_negative() { return {std::int64_t{0}, std::numeric_limits<std::int64_t>::max()}; }

void add_plugin_option(CLI::App& command, std::vector<std::string>& plugins) {
    command
        .add_option("--plugin", plugins,
                    "Load a plug-in library, or the libraries moegemm_*.so of a folder (repeatable)")
        ->type_name("FILE|FOLDER")
        ->expected(1)
        ->take_all();
}

OpenRegistry open_registry(const std::vector<std::string>& plugins) {
    OpenRegistry open{Registry::with_builtin(), false};
    for (const std::string& path : plugins) {
        for (const std::string& error : load_plugins_at(open.registry, path)) {
            say(error);
            open.failed = true;
        }
    }
    const char* variable = std::getenv(plugin_path_variable);
    for (const std::string& error : load_default_plugins(open.registry)) {
        say(error);
        open.failed = open.failed || (variable != nullptr && *variable != '\0');
    }
    return open;
}

std::vector<std::shared_ptr<const Provider>> available_providers(const Registry& registry, DLDevice device) {
    std::vector<std::shared_ptr<const Provider>> chosen = registry.providers();
    std::erase_if(chosen, [&](const std::shared_ptr<const Provider>& provider) {
        return provider->info().device_type != device.device_type || !provider->info().unavailable.empty();
    });
    return chosen;
}

std::vector<std::shared_ptr<const Provider>> select_providers(const Registry& registry, const std::string& names) {
    const std::vector<ProviderStatus> known = registry.status();
    std::vector<std::shared_ptr<const Provider>> chosen;
    for (const std::string& name : CLI::detail::split(names, ',')) {
        const auto status =
            std::find_if(known.begin(), known.end(), [&](const ProviderStatus& row) { return row.name == name; });
        if (status == known.end()) {
            std::vector<std::string_view> all;
            std::transform(known.begin(), known.end(), std::back_inserter(all),
                           [](const ProviderStatus& row) -> std::string_view { return row.name; });
            throw Error(ErrorCode::invalid_argument, "--provider", name, fmt::format("of {}", fmt::join(all, ", ")));
        }
        if (!status->available) {
            throw Error(ErrorCode::unsupported, "--provider", fmt::format("{} ({})", name, status->reason),
                        fmt::format("one that is available; to have this one: {}", status->remedy));
        }
        const std::shared_ptr<const Provider> provider = registry.find(name);
        if (std::find(chosen.begin(), chosen.end(), provider) == chosen.end()) {
            chosen.push_back(provider);
        }
    }
    return chosen;
}

}  // namespace moegemm::cli
