/// \file
/// For plug-ins written in C++: offer moegemm::Provider objects through the C ABI.
#pragma once

#include <memory>
#include <vector>

#include <moegemm/abi.h>
#include <moegemm/provider.hpp>

namespace moegemm {

/// A provider as a C table; the table and what it points to live as long as this object.
class ExportedProvider {
public:
    explicit ExportedProvider(std::shared_ptr<const Provider> provider);
    ~ExportedProvider();
    ExportedProvider(const ExportedProvider&) = delete;
    ExportedProvider& operator=(const ExportedProvider&) = delete;
    [[nodiscard]] const moegemm_provider* table() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// What `moegemm_plugin_entry` returns, made of C++ providers. Keep it in a function-local static.
class Plugin {
public:
    Plugin(std::string name, const std::vector<std::shared_ptr<const Provider>>& providers);
    ~Plugin();
    Plugin(const Plugin&) = delete;
    Plugin& operator=(const Plugin&) = delete;
    /// Null where the host's version is another one.
    [[nodiscard]] const moegemm_plugin* entry(std::uint32_t host_abi_version) const noexcept;

private:
    std::string name_;
    std::vector<std::unique_ptr<ExportedProvider>> exported_;
    std::vector<const moegemm_provider*> tables_;
    moegemm_plugin plugin_{};
};

/// A provider behind a C table, as a C++ one. Every exception that escapes from the table becomes an Error of code
/// plugin.
/// \param library kept alive as long as the provider; may be null
/// \throws Error plugin for a table of another version, or one that lacks a function
[[nodiscard]] std::shared_ptr<const Provider> import_provider(const moegemm_provider* table,
                                                              std::shared_ptr<void> library);

}  // namespace moegemm
