/// \file
/// The GPUs of this machine: the provider's steps as kernels, one thread an index.
#pragma once

#include <memory>

#include "providers/flashinfer/machine.hpp"

namespace moegemm::flashinfer {

/// Looks for GPUs, and makes no context on any.
[[nodiscard]] std::shared_ptr<const Machine> make_cuda_machine();

}  // namespace moegemm::flashinfer
