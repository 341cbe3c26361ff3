/// \file
/// One shared library that offers providers through the C ABI.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include <moegemm/provider.hpp>

namespace moegemm {

/// Loads a plug-in library and imports all that it offers; it stays loaded as long as one of the providers, or a plan
/// of theirs, lives.
/// \throws Error plugin naming the path: no file, not a library, no entry point, another ABI version, an incomplete
///         table, an exception that escaped from it, no provider in it
[[nodiscard]] std::vector<std::shared_ptr<const Provider>> load_plugin_library(const std::filesystem::path& path);

}  // namespace moegemm
