/// \file
/// The benchmark's operands in host memory.
#pragma once

#include <cstdint>

#include <moegemm/tensor.hpp>

#include "bench/thread_team.hpp"

namespace moegemm::bench {

/// Writes A, W, their scales, alpha and m_indptr of `problem`, whichever `operands` has: the codes of
/// op/random/operand_codes.hpp, a function of (seed, tensor, logical index) alone, whatever the number of threads and
/// the layout of the scales. Padding of scales is 0.
void fill_operands(const Problem& problem, std::uint64_t seed, const Operands& operands, ThreadTeam& team);

}  // namespace moegemm::bench
