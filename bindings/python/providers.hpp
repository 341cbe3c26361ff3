/// \file
/// The providers of this process, and which one a call gets where it names none.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <nanobind/nanobind.h>
#include <moegemm/provider.hpp>

namespace moegemm::python {

/// The process's registry: the built-in providers, then the plug-ins that Python loads. Used with the GIL held.
[[nodiscard]] Registry& registry();

/// The provider of that name; without a name the first of hopper, cuda, cpu, the plug-ins' others and reference that
/// works on the device and supports the spec.
/// \throws Error invalid_argument for a name that is none; unsupported, with each provider's reason, where none does
[[nodiscard]] std::shared_ptr<const Provider> choose_provider(const std::optional<std::string>& name,
                                                              const GemmSpec& spec, DLDevice device);

void bind_providers(nanobind::module_& module);

}  // namespace moegemm::python
