/// \file
/// Provider `flashinfer`: FlashInfer's grouped GEMMs without Python: its compiled ones by Apache TVM-FFI, and cuDNN's
/// MoE grouped matmul where FlashInfer takes that.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

#include "providers/flashinfer/machine.hpp"
#include "providers/flashinfer/module_search.hpp"

namespace moegemm {

/// \param machine where tensors live and steps run
/// \param modules that are looked for when they are first needed
/// \param cudnn   the provider of cuDNN's MoE grouped matmul, for specs that FlashInfer hands to cuDNN of its version;
///                null where this is built without
[[nodiscard]] std::shared_ptr<const Provider> make_flashinfer_provider(
    std::shared_ptr<const flashinfer::Machine> machine, std::shared_ptr<const flashinfer::ModuleLibrary> modules,
    std::shared_ptr<const Provider> cudnn);

}  // namespace moegemm
