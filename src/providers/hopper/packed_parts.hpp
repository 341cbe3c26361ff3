/// \file
/// Where the parts of packed weights lie.
#pragma once

#include <cstdint>

#include "providers/hopper/kernels/packed_weights.hpp"

namespace moegemm::hopper {

/// In bytes from the front: first the blocks, then the rows' factors, those of rebased operands, and a word that says
/// whether any row keeps the whole from being rebased.
struct PackedParts {
    std::int64_t blocks_end;
    std::int64_t row_factors;
    std::int64_t rebased_factors;
    std::int64_t not_rebasable;
    std::int64_t bytes;  ///< of all
};
/// \throws Error overflow ("packed weights") where the bytes do not fit in 63 bits
[[nodiscard]] PackedParts packed_parts(WeightFormat format, std::int64_t experts, std::int64_t n, std::int64_t k);

}  // namespace moegemm::hopper
