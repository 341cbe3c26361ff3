/// \file
/// The providers of this process, and which one a call gets where it names none.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nanobind/nanobind.h>
#include <moegemm/provider.hpp>

namespace moegemm::python {

/// The process's registry: the built-in providers, then the plug-ins that Python loads. Used with the GIL held.
[[nodiscard]] Registry& registry();

/// The provider of that name; without a name those of hopper, cuda, cpu, the plug-ins' others and reference, in this
/// order, that work on the device and support the spec.
/// \param all whether those after the first are asked, too: some have libraries to load and graphs to build for that
/// \return at least one
/// \throws Error invalid_argument for a name that is none; unsupported, with each provider's reason, where none does
[[nodiscard]] std::vector<std::shared_ptr<const Provider>> providers_for(const std::optional<std::string>& name,
                                                                         const GemmSpec& spec, DLDevice device,
                                                                         bool all);

void bind_providers(nanobind::module_& module);

}  // namespace moegemm::python
