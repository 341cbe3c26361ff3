/// \file
/// CRC-32 as of IEEE 802.3, zlib and PNG: polynomial 0x04C11DB7, bits reflected, all ones at first and inverted at
/// last.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace moegemm {

/// [n][byte]: the remainder of the byte with n zero bytes after it, so that eight bytes are taken at once
/// ("slicing-by-8": Kounavis and Berry, "A Systematic Approach to Building High Performance Software-based CRC
/// Generators", 2005).
using Crc32Tables = std::array<std::array<std::uint32_t, 256>, 8>;
[[nodiscard]] constexpr Crc32Tables make_crc32_tables() noexcept {
    constexpr std::uint32_t polynomial = 0xEDB88320;  // reflected
    Crc32Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t remainder = byte;
        for (int bit = 0; bit < 8; ++bit) {
            remainder = remainder >> 1 ^ ((remainder & 1U) != 0 ? polynomial : 0);
        }
        tables[0][byte] = remainder;
    }
    for (std::size_t zeros = 1; zeros < tables.size(); ++zeros) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[zeros - 1][byte];
            tables[zeros][byte] = before >> 8 ^ tables[0][before & 0xFFU];
        }
    }
    return tables;
}
inline constexpr Crc32Tables crc32_tables = make_crc32_tables();

/// Of bytes that come piece by piece.
class Crc32 {
public:
    constexpr void add(std::span<const std::uint8_t> bytes) noexcept {
        std::size_t at = 0;
        for (; at + 8 <= bytes.size(); at += 8) {
            std::uint32_t next = 0;
            for (std::size_t i = 0; i < 8; ++i) {
                const std::uint32_t byte = i < 4 ? (state_ >> (8 * i) & 0xFFU) ^ bytes[at + i] : bytes[at + i];
                next ^= crc32_tables[7 - i][byte];
            }
            state_ = next;
        }
        for (; at < bytes.size(); ++at) {
            state_ = state_ >> 8 ^ crc32_tables[0][(state_ ^ bytes[at]) & 0xFFU];
        }
    }
    [[nodiscard]] constexpr std::uint32_t value() const noexcept { return ~state_; }

    [[nodiscard]] static constexpr std::uint32_t of(std::span<const std::uint8_t> bytes) noexcept {
        Crc32 crc;
        crc.add(bytes);
        return crc.value();
    }

private:
    std::uint32_t state_ = ~0U;
};

}  // namespace moegemm
