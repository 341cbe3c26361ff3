/// \file
/// What the sub-commands share. Each registers itself with the parser; the one that was chosen runs afterwards.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <moegemm/provider.hpp>

namespace moegemm::cli {

/// What the process ends with; 128 + the signal's number after an interrupt.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;  ///< a case failed, or an output was wrong
inline constexpr int exit_usage = 2;   ///< the command line or a file could not be understood

/// Set by the sub-command that the command line names; returns the exit status.
using Action = std::function<int()>;

void add_bench(CLI::App& app, Action& action);
void add_verify(CLI::App& app, Action& action);
void add_providers(CLI::App& app, Action& action);
void add_variants(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);

/// For --limit and --seed, which records keep as signed numbers.
[[nodiscard]] CLI::Range not_negative();

/// The option --plugin FILE|FOLDER.
void add_plugin_option(CLI::App& command, std::vector<std::string>& plugins);

/// The registry with the built-in providers and all plug-ins.
struct OpenRegistry {
    Registry registry;
    bool failed = false;  ///< a plug-in that the user named could not be loaded
};
/// Says on stderr which plug-ins could not be loaded, and goes on without them.
[[nodiscard]] OpenRegistry open_registry(const std::vector<std::string>& plugins);

/// The providers whose tensors live on a device of this kind, and that can work on this machine.
[[nodiscard]] std::vector<std::shared_ptr<const Provider>> available_providers(const Registry& registry,
                                                                               DLDevice device);

/// The providers of a list of names ("cpu,reference").
/// \throws Error invalid_argument or unsupported ("--provider") for a name that is none, or for a provider that is not
///         available, with the reason and the remedy
[[nodiscard]] std::vector<std::shared_ptr<const Provider>> select_providers(const Registry& registry,
                                                                            const std::string& names);

}  // namespace moegemm::cli
