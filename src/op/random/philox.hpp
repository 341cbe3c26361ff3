/// \file
/// Philox4x32-10, a counter-based generator: 128 random bits as a pure function of a key and a counter.
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11, sections 3.3 and 3.4.
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>

namespace moegemm {

/// 128 random bits.
struct PhiloxBlock {
    std::uint32_t words[4];

    /// Sixteen of the bits: the low half of word 0, its high half, the low half of word 1, …; lane 0 … 7.
    [[nodiscard]] constexpr MOEGEMM_HD std::uint32_t half(unsigned lane) const noexcept {
        return (words[lane / 2] >> (16 * (lane % 2))) & 0xFFFFU;
    }
};

/// The block of counter (index low, index high, stream low, stream high) under key (seed low, seed high).
[[nodiscard]] constexpr MOEGEMM_HD PhiloxBlock philox(std::uint64_t seed, std::uint64_t stream,
                                                      std::uint64_t index) noexcept {
    auto c0 = static_cast<std::uint32_t>(index);
    auto c1 = static_cast<std::uint32_t>(index >> 32);
    auto c2 = static_cast<std::uint32_t>(stream);
    auto c3 = static_cast<std::uint32_t>(stream >> 32);
    auto key0 = static_cast<std::uint32_t>(seed);
    auto key1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * c0;
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * c2;
        c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ key0;
        c1 = static_cast<std::uint32_t>(product1);
        c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ key1;
        c3 = static_cast<std::uint32_t>(product0);
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    return {{c0, c1, c2, c3}};
}

}  // namespace moegemm
