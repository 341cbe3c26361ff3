/// \file
/// The arrays that cuBLASLt reads on the device, written there.
#pragma once

#include <cuda_runtime_api.h>

#include "providers/cublas/device_groups.hpp"

namespace moegemm::cublas {

/// \throws Error internal where the launch fails
void fill_groups(const FillGroups& fill, std::int64_t experts, cudaStream_t stream);

}  // namespace moegemm::cublas
