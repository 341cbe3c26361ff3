/// \file
/// Who draws from which Philox stream of a seed. Streams of operands are the values of Role, below 256.
#pragma once

#include <cstdint>

namespace moegemm::streams {

/// Gumbel draws of the routings: 32 bits for every token and expert.
inline constexpr std::uint64_t gumbel = 0x100;
/// The permutation that deals popularity ranks to experts.
inline constexpr std::uint64_t permutation = 0x101;

}  // namespace moegemm::streams
