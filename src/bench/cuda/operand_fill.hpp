/// \file
/// The benchmark's operands in a GPU's memory: bit for bit what bench/operand_fill.hpp writes to a host's.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include <moegemm/tensor.hpp>

#include "op/random/operand_codes.hpp"

namespace moegemm::bench::cuda {

/// Writes A, W, their scales, alpha and m_indptr of `problem`, whichever `operands` has. Padding of scales is 0.
/// \param operands aligned to 32 bytes
void fill_operands(const Problem& problem, std::uint64_t seed, const Operands& operands, cudaStream_t stream);

/// Writes the first `elements` elements that `generator` draws, in their logical order. \param target likewise aligned
void fill_in_order(const OperandGenerator& generator, void* target, std::int64_t elements, cudaStream_t stream);

}  // namespace moegemm::bench::cuda
