/// \file
/// The addresses that cuBLAS reads on the device.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

namespace moegemm::cublas {

/// Where the matrices of a call begin.
struct Bases {
    const std::byte* weights;
    const std::byte* tokens;
    std::byte* y;
    std::int64_t expert_bytes;  ///< of weights
    std::int64_t token_bytes;   ///< of a row of A
    std::int64_t y_bytes;       ///< of a row of y
};

/// Writes three arrays of `count` addresses, one after the other: of the weights, of the tokens and of y of each group.
/// What a kernel needs for that travels in its parameters, so that nothing is copied from memory of the host's.
/// \param experts, first_rows (count), on the host
/// \throws Error internal where a launch fails
void write_pointers(const Bases& bases, const int* experts, const int* first_rows, int count, const void** pointers,
                    cudaStream_t stream);

}  // namespace moegemm::cublas
