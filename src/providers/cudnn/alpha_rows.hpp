/// \file
/// alpha as versions of cuDNN read it that take no scalar.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

namespace moegemm::cudnn {

/// Writes the scalar `alpha` to each of `rows` places, all on the device.
/// \throws Error internal where the launch fails
void write_alpha_rows(const float* alpha, float* to, std::int64_t rows, cudaStream_t stream);

}  // namespace moegemm::cudnn
