/// \file
/// Provider `flashinfer`: FlashInfer's compiled grouped GEMMs, by Apache TVM-FFI and without Python.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

#include "providers/flashinfer/machine.hpp"
#include "providers/flashinfer/module_search.hpp"

namespace moegemm {

/// \param machine where tensors live and steps run
/// \param modules that are looked for when they are first needed
[[nodiscard]] std::shared_ptr<const Provider> make_flashinfer_provider(
    std::shared_ptr<const flashinfer::Machine> machine, std::shared_ptr<const flashinfer::ModuleLibrary> modules);

}  // namespace moegemm
