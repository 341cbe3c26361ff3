#include <algorithm>
#include <iostream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/console.hpp"

namespace moegemm::cli {
namespace {

struct Options {
    bool json = false;
    std::vector<std::string> plugins;
};

std::string_view device_text(DLDeviceType type) {
    switch (type) {
        case kDLCPU:
            return "cpu";
        case kDLCUDA:
            return "cuda";
        default:
            return "other";
    }
}

void print_json(const Registry& registry) {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const ProviderStatus& status : registry.status()) {
        nlohmann::ordered_json& item = all.emplace_back();
        item["name"] = status.name;
        item["description"] = status.description;
        item["available"] = status.available;
        item["reason"] = status.reason;
        item["remedy"] = status.remedy;
        item["source"] = status.source;
        item["variants"] = nlohmann::ordered_json::object();
        if (!status.available) {
            continue;
        }
        const ProviderInfo about = registry.find(status.name)->info();
        item["version"] = about.version;
        item["device"] = device_text(about.device_type);
        item["needs_host_counts"] = about.needs_host_counts;
        for (const VariantInfo& row : variants) {
            const VariantSupport& support = about.support[static_cast<std::size_t>(row.id)];
            if (support.offered) {
                item["variants"][std::string(row.name)] = {{"accumulation", to_string(support.accumulation)},
                                                           {"scale_range", to_string(support.scale_range)}};
            }
        }
    }
    std::cout << all.dump(2) << '\n';
}

void print_variants(const ProviderInfo& about) {
    std::vector<std::vector<std::string>> rows{{"  variant", "accumulation", "scale range"}};
    for (const VariantInfo& row : variants) {
        const VariantSupport& support = about.support[static_cast<std::size_t>(row.id)];
        if (support.offered) {
            rows.push_back({fmt::format("  {}", row.name), std::string(to_string(support.accumulation)),
                            std::string(to_string(support.scale_range))});
        }
    }
    print_columns(rows);
}

void print_text(const Registry& registry) {
    const std::vector<ProviderStatus> all = registry.status();
    std::vector<std::vector<std::string>> rows{{"provider", "available", "what it is"}};
    for (const ProviderStatus& status : all) {
        rows.push_back({status.name, status.available ? "yes" : "no", status.description});
    }
    print_columns(rows);
    for (const ProviderStatus& status : all) {
        std::cout << '\n' << status.name << ": ";
        if (!status.available) {
            std::cout << "not available: " << status.reason << "; " << status.remedy << '\n';
            continue;
        }
        const ProviderInfo about = registry.find(status.name)->info();
        std::cout << fmt::format("{}, version {}, on {}{}\n", status.source, about.version,
                                 device_text(about.device_type),
                                 about.needs_host_counts ? ", needs m_indptr on the host" : "");
        print_variants(about);
    }
}

}  // namespace

void add_providers(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("providers", "List every provider that the project knows, and what is here");
    command->footer(
        "Examples:\n"
        "  moegemm providers\n"
        "  moegemm providers --plugin ./moegemm_mine.so\n"
        "  moegemm providers --json");
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
