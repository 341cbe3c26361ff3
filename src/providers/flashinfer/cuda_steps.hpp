/// \file
/// The steps around FlashInfer's calls as kernels.
#pragma once

#include <cuda_runtime_api.h>

#include "providers/flashinfer/machine.hpp"

namespace moegemm::flashinfer {

/// \throws Error internal where the kernel could not be launched
void launch(const Step& step, cudaStream_t stream);

}  // namespace moegemm::flashinfer
