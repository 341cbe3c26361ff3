#include "providers.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;

namespace moegemm::python {
namespace {

constexpr std::array<std::string_view, 3> fastest_first{"hopper", "cuda", "cpu"};

/// Where a provider stands among the candidates: the slow reference behind all that nobody has placed.
std::size_t place(const Provider& provider) {
    const std::string& name = provider.info().name;
    const auto found = std::ranges::find(fastest_first, name);
    return static_cast<std::size_t>(found - fastest_first.begin()) + (name == "reference" ? 1 : 0);
}

std::string_view device_name(DLDeviceType type) {
    switch (type) {
        case kDLCPU:
            return "cpu";
        case kDLCUDA:
            return "cuda";
        default:
            return "other";
    }
}

/// What `providers()` says of one.
struct ProviderRow {
    ProviderStatus status;
    ProviderInfo about;  ///< empty for one that is not loaded
    [[nodiscard]] bool loaded() const { return !status.source.empty(); }
};

std::vector<ProviderRow> list_providers() {
    std::vector<ProviderRow> rows;
    for (ProviderStatus& status : registry().status()) {
        ProviderRow& row = rows.emplace_back();
        row.status = std::move(status);
        if (row.loaded()) {
            row.about = registry().find(row.status.name)->info();
        }
    }
    return rows;
}

/// Accumulation and scale range of each variant that is offered.
std::map<std::string, std::pair<std::string, std::string>> variants_of(const ProviderRow& row) {
    std::map<std::string, std::pair<std::string, std::string>> offered;
    for (const VariantInfo& variant : variants) {
        const VariantSupport& support = row.about.support[static_cast<std::size_t>(variant.id)];
        if (support.offered) {
            offered[std::string(variant.name)] = {std::string(to_string(support.accumulation)),
                                                  std::string(to_string(support.scale_range))};
        }
    }
    return offered;
}

}  // namespace

Registry& registry() {
    // Never destroyed: plans, which Python may drop last of all, run code of the plug-ins' libraries.
    static auto* const all = new Registry(Registry::with_builtin());
    return *all;
}

std::vector<std::shared_ptr<const Provider>> providers_for(const std::optional<std::string>& name, const GemmSpec& spec,
                                                           DLDevice device, bool all) {
    if (name) {
        return {registry().find(*name)};
    }
    std::vector<std::shared_ptr<const Provider>> candidates = registry().providers();
    std::ranges::stable_sort(candidates, {}, [](const auto& provider) { return place(*provider); });
    std::vector<std::shared_ptr<const Provider>> taking;
    std::vector<std::string> reasons;
    for (const auto& provider : candidates) {
        const ProviderInfo& about = provider->info();
        if (about.device_type != device.device_type) {
            continue;
        }
        const Support support = about.unavailable.empty() ? provider->supports(spec) : Support::no(about.unavailable);
        if (support.supported) {
            taking.push_back(provider);
            if (!all) {
                break;
            }
        } else {
            reasons.push_back(fmt::format("{}: {}", about.name, support.reason));
        }
    }
    if (!taking.empty()) {
        return taking;
    }
    if (reasons.empty()) {
        for (const ProviderStatus& status : registry().status()) {
            if (status.source.empty() && (status.name == "cuda" || status.name == "hopper")) {
                reasons.push_back(fmt::format("{}: {}", status.name, status.reason));
            }
        }
    }
    throw Error(ErrorCode::unsupported, "provider",
                fmt::format("none for {} on device {}", spec.row().name, device_name(device.device_type)),
                fmt::format("one that takes this ({})", fmt::join(reasons, "; ")));
}

void bind_providers(nb::module_& module) {
    nb::class_<ProviderRow>(module, "ProviderStatus",
                            "A provider that the project knows of, whether or not it is here.")
        .def_prop_ro("name", [](const ProviderRow& row) { return row.status.name; })
        .def_prop_ro("description", [](const ProviderRow& row) { return row.status.description; })
        .def_prop_ro(
            "available", [](const ProviderRow& row) { return row.status.available; },
            "Whether it can work on this machine.")
        .def_prop_ro(
            "reason", [](const ProviderRow& row) { return row.status.reason; }, "Why it is not available, or empty.")
        .def_prop_ro(
            "remedy", [](const ProviderRow& row) { return row.status.remedy; }, "What would make it available.")
        .def_prop_ro(
            "source", [](const ProviderRow& row) { return row.status.source; },
            "\"built in\", the plug-in's path, or empty.")
        .def_prop_ro("version", [](const ProviderRow& row) { return row.about.version; })
        .def_prop_ro(
            "device",
            [](const ProviderRow& row) {
                return row.loaded() ? std::optional<std::string>(device_name(row.about.device_type)) : std::nullopt;
            },
            "Where its tensors live: \"cpu\" or \"cuda\"; None for one that is not loaded.")
        .def_prop_ro("needs_host_counts", [](const ProviderRow& row) { return row.about.needs_host_counts; })
        .def_prop_ro("variants", variants_of, "Each variant that it offers, with its accumulation and scale range.")
        .def("__repr__", [](const ProviderRow& row) {
            return row.status.available
                       ? fmt::format("<provider {}: {}>", row.status.name, row.status.source)
                       : fmt::format("<provider {}: not available: {}>", row.status.name, row.status.reason);
        });
    module.def("providers", list_providers, "Every provider that the project knows, then the others found.");
    module.def(
        "load_plugin", [](const std::filesystem::path& path) { registry().load_plugin(path); }, nb::arg("path"),
        "Adds the providers of a plug-in library.");
    module.def(
        "load_plugins", [](const std::filesystem::path& folder) { return registry().load_plugins(folder); },
        nb::arg("folder"), "Adds those of a folder's libraries; returns one text for each that was refused.");
}

}  // namespace moegemm::python
