/// \file
/// The read kernel, written once: each instruction set's file includes it with its own vector type.
/// Internal linkage: two files compiled for different machines must never share a function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bench/isa/unrolled.hpp"

namespace moegemm::bench::isa {
namespace {

/// \tparam Vector a register of std::uint64_t
/// \tparam streams runs side by side
///
///   | part 0              | part 1              | … part streams − 1 | tail |
///   → 4 vectors a step      → 4 vectors a step    …
///
/// Several runs keep more pages open and more prefetchers busy than one; which number is best depends on the machine.
template <class Vector, std::size_t streams>
std::uint64_t read_parts(const std::byte* data, std::size_t bytes) {
    constexpr std::size_t unroll_by = 4;
    constexpr std::size_t step = unroll_by * sizeof(Vector);
    const std::size_t part = bytes / streams / step * step;
    Vector sums[unroll_by] = {};
    for (std::size_t at = 0; at < part; at += step) {
        unrolled<streams>([&](auto s) {
            unrolled<unroll_by>([&](auto u) {
                Vector loaded;
                std::memcpy(&loaded, data + s * part + at + u * sizeof(Vector), sizeof(Vector));
                sums[u] ^= loaded;
            });
        });
    }
    const Vector all = (sums[0] ^ sums[1]) ^ (sums[2] ^ sums[3]);
    std::uint64_t lanes[sizeof(Vector) / sizeof(std::uint64_t)];
    std::memcpy(lanes, &all, sizeof(Vector));
    std::uint64_t sum = 0;
    for (const std::uint64_t lane : lanes) {
        sum ^= lane;
    }
    for (std::size_t at = streams * part; at < bytes; ++at) {
        sum += static_cast<std::uint64_t>(data[at]);
    }
    return sum;
}

template <class Vector>
std::uint64_t read_streams(const std::byte* data, std::size_t bytes, std::size_t streams) {
    switch (streams) {
        case 2:
            return read_parts<Vector, 2>(data, bytes);
        case 4:
            return read_parts<Vector, 4>(data, bytes);
        case 8:
            return read_parts<Vector, 8>(data, bytes);
        default:
            return read_parts<Vector, 1>(data, bytes);
    }
}

}  // namespace
}  // namespace moegemm::bench::isa
