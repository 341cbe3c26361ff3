/// \file
/// What packed weights begin with: enough to refuse those of another variant, size, format or version.
#pragma once

#include <array>
#include <cstdint>

#include "providers/hopper/kernels/packed_weights.hpp"

namespace moegemm::hopper {

/// 128 bytes, little-endian as the machines that have such GPUs are.
struct PackedHeader {
    std::array<char, 16> magic{'m', 'o', 'e', 'g', 'e', 'm', 'm', ' ', 'p', 'a', 'c', 'k', 'e', 'd', ' ', 'W'};
    std::uint32_t version = 1;  ///< of the order of bytes that packed_weights.hpp describes
    std::uint32_t format = 0;   ///< WeightFormat
    std::int64_t experts = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    std::int64_t bytes = 0;  ///< of all
    std::array<std::uint8_t, 72> unused{};

    friend bool operator==(const PackedHeader&, const PackedHeader&) = default;
};
static_assert(sizeof(PackedHeader) == 128);

/// Where the parts of packed weights lie, in bytes from the front.
struct PackedParts {
    std::int64_t blocks;
    std::int64_t row_factors;
    std::int64_t bytes;
};
/// \throws Error overflow ("packed weights") where the bytes do not fit in 63 bits
[[nodiscard]] PackedParts packed_parts(WeightFormat format, std::int64_t experts, std::int64_t n, std::int64_t k);

}  // namespace moegemm::hopper
