/// \file
/// The addresses that cuBLAS reads on the device.
#pragma once

#include <cuda_runtime_api.h>

#include "providers/cublas/bases.hpp"

namespace moegemm::cublas {

/// Writes three arrays of `count` addresses, one after the other: of the weights, of the tokens and of y of each group.
/// What a kernel needs for that travels in its parameters, so that nothing is copied from memory of the host's.
/// \param experts, first_rows (count), on the host
/// \throws Error internal where a launch fails
void write_pointers(const Bases& bases, const int* experts, const int* first_rows, int count, const void** pointers,
                    cudaStream_t stream);

}  // namespace moegemm::cublas
