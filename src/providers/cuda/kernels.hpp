/// \file
/// The kernels of provider `cuda`, as the host sees them.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include <moegemm/problem.hpp>

namespace moegemm::cuda {

/// A kernel and what launching it takes.
struct Kernel {
    const void* function;  ///< void (Call)
    int threads;
    int weights;  ///< columns of y of a tile
    int tokens;   ///< rows of y of a tile
    int stage_bytes;
    int blocks_an_sm;  ///< that shared memory should have room for
};

/// Sizes of tiles, by the tokens that an expert has.
enum class TileSize : std::uint8_t { few, some, many };
inline constexpr std::array<std::string_view, 3> tile_size_names{"few", "some", "many"};

/// One recipe in all tile sizes.
using Kernels = std::array<Kernel, tile_size_names.size()>;

/// A row of the table of kernels.
struct KernelRow {
    Variant variant;
    bool takes_e5m2;  ///< whether either operand may be e5m2
    std::string_view name;
    float factor;  ///< what the sums are to be multiplied by
    Kernels kernels;
};

/// All of them; of two rows that take a spec, the first is the faster.
[[nodiscard]] std::span<const KernelRow> kernel_table();

}  // namespace moegemm::cuda
