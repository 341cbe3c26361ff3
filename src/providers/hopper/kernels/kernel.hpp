/// \file
/// The kernels that there are, and what a launch needs to know of each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <moegemm/problem.hpp>

namespace moegemm::hopper {

/// Ways to cut y into tiles.
enum class Tiling : std::uint8_t {
    few_16,    ///< up to 16 rows of A × 64 rows of W, two CTAs an SM
    few_64,    ///< up to 64 rows of A × 128 rows of W
    some_96,   ///< up to 96 × 256, of weights that are decoded
    many_256,  ///< 128 × 256
    many_128   ///< 128 × 128
};
inline constexpr int tiling_count = 5;

/// One kernel.
struct Kernel {
    std::string_view name;
    const void* function = nullptr;  ///< null: not made for these elements
    int threads = 0;
    int shared_bytes = 0;
    int ctas = 1;          ///< on an SM
    int tile_rows = 0;     ///< of A
    int tile_columns = 0;  ///< of y
    int a_box = 0;         ///< rows that one copy by Maps::a brings
    int a_part_box = 0;
    int w_box = 0;
    int w_part_box = 0;
    /// Chunks of 128 bytes a row that one copy of A brings, where rows are whole chunks; 0 where A is taken as a
    /// matrix.
    int a_chunks = 0;
    /// Decoded weights: whether rows of A of 4 and 8 bits may be left to the kernel to widen.
    bool widens = false;
};
using KernelSet = std::array<Kernel, tiling_count>;

/// The kernels of one kind of elements, by Tiling.
[[nodiscard]] const KernelSet& bf16_kernels();
[[nodiscard]] const KernelSet& int8_kernels();
/// \param a, w e4m3 or e5m2; fp8 and fp8_token
[[nodiscard]] const KernelSet& fp8_kernels(DType a, DType w);
/// fp8_block
[[nodiscard]] const KernelSet& fp8_block_kernels(DType a, DType w);

}  // namespace moegemm::hopper
