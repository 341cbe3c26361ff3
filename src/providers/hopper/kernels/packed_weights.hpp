/// \file
/// Weights of 4 and 8 bits in the order in which wgmma's threads take them from shared memory: what `pack` makes.
///
/// A block is 64 rows of W[e] by 64 of K: its values, as many bytes as in the contract's order, then its scales. Four
/// blocks of rows, 256 rows, make a band (the last of an expert may be shorter); a band's blocks lie depth by depth, so
/// that what a tile needs next is one piece of memory for any number of its blocks of rows:
///
///   expert 0                                                        expert 1 …
///   band 0                                           band 1 …
///   depth 0                     depth 1 …
///   block 0 | 1 | 2 | 3         block 0 | 1 | 2 | 3
///   ┌────────────────┬────────┐
///   │ values         │ scales │
///   └────────────────┴────────┘
///
/// After the blocks of all experts follow two f32 a row, which its sums are multiplied by, the second where the
/// operands were rebased, and a word that says whether some row's scales are too far apart for that.
///
/// Values lie as the left operand's fragments (PTX ISA, "WGMMA .m64nNk16 A fragment"): thread t of 128 holds rows g and
/// g + 8 of a step of 16 of K, g = t / 32 · 16 + t % 32 / 4, at k = 2c, 2c + 1, 2c + 8 and 2c + 9, c = t % 4. What it
/// needs for the four steps of a block is one load of 16 bytes (4-bit values) or two (8-bit ones).
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>

namespace moegemm::hopper {

/// Formats of weights that are decoded to bf16 on their way to the tensor cores.
enum class WeightFormat : std::uint8_t {
    e2m1_ue8m0,  ///< mxfp4: a scale for 32 of K
    e2m1_ue4m3,  ///< nvfp4: for 16
    e4m3_ue8m0,  ///< mxfp8: for 32
};

/// Sizes of a block and places in it.
struct WeightBlock {
    int bits;   ///< of a value
    int group;  ///< of K that share a scale

    static constexpr int rows = 64;
    static constexpr int depth = 64;
    static constexpr int steps = depth / 16;  ///< of wgmma
    [[nodiscard]] MOEGEMM_HD constexpr int groups() const { return depth / group; }
    [[nodiscard]] MOEGEMM_HD constexpr int value_bytes() const { return rows * depth * bits / 8; }
    [[nodiscard]] MOEGEMM_HD constexpr int scale_bytes() const { return rows * groups(); }
    [[nodiscard]] MOEGEMM_HD constexpr int bytes() const { return value_bytes() + scale_bytes(); }

    /// The byte of the first of a thread's 16 bytes of values; 8-bit values have two such pieces, two steps each.
    [[nodiscard]] MOEGEMM_HD static constexpr int value_offset(int thread, int piece) {
        return piece * 128 * 16 + thread * 16;
    }
    /// The byte of the scale of row `row` and group `which`: those of rows g and g + 8 lie together, as a thread needs
    /// them, group after group.
    [[nodiscard]] MOEGEMM_HD constexpr int scale_offset(int row, int which) const {
        return value_bytes() + ((row / 16 * 8 + row % 8) * groups() + which) * 2 + row % 16 / 8;
    }
};

[[nodiscard]] MOEGEMM_HD constexpr WeightBlock block_of(WeightFormat format) {
    return {format == WeightFormat::e4m3_ue8m0 ? 8 : 4, format == WeightFormat::e2m1_ue4m3 ? 16 : 32};
}

/// Rows of W of a band, in blocks.
inline constexpr int band_blocks = 4;

/// Where an expert's blocks lie.
struct PackedShape {
    int row_blocks;  ///< ⌈N / 64⌉
    int depths;      ///< ⌈K / 64⌉

    [[nodiscard]] MOEGEMM_HD static constexpr PackedShape of(std::int64_t n, std::int64_t k) {
        return {static_cast<int>((n + WeightBlock::rows - 1) / WeightBlock::rows),
                static_cast<int>((k + WeightBlock::depth - 1) / WeightBlock::depth)};
    }
    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t blocks() const {
        return static_cast<std::int64_t>(row_blocks) * depths;
    }
    /// Blocks of rows in the band that has block of rows `row_block`.
    [[nodiscard]] MOEGEMM_HD constexpr int band_height(int row_block) const {
        const int left = row_blocks - row_block / band_blocks * band_blocks;
        return left < band_blocks ? left : band_blocks;
    }
    /// The number of a block. From one depth to the next it grows by band_height(row_block).
    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t block(std::int64_t expert, int row_block, int depth) const {
        const int before = row_block / band_blocks * band_blocks;
        return expert * blocks() + static_cast<std::int64_t>(before) * depths +
               static_cast<std::int64_t>(depth) * band_height(row_block) + (row_block - before);
    }
};

/// What a launch gets of them.
struct PackedWeights {
    const std::uint8_t* blocks;
    const float* row_factors;            ///< (E, ⌈N / 64⌉ · 64)
    const float* rebased_factors;        ///< the same, of rebased operands (ue8m0)
    const std::uint32_t* not_rebasable;  ///< other than 0 where a row's scales are too far apart for fp8
    PackedShape shape;
};

/// Which of two kernels does which rows of a call, where `rows_differ` is not null: with weights that can be rebased,
/// that of rebased operands does the rows whose factor is not negative, and that of bf16 the others; with other
/// weights, that of bf16 does all.
struct Route {
    const std::uint32_t* rows_differ;  ///< other than 0 where some factor is negative
    const float* token_factors;        ///< (R), of rebased activations; NaN is not negative
};

/// The k, within a block, of one of the eight values that a thread holds of a row pair and step, as register `reg` of
/// the fragment and half `half` of it have it; the row of the block.
struct FragmentPlace {
    int row;
    int k;
};
[[nodiscard]] MOEGEMM_HD constexpr FragmentPlace fragment_place(int thread, int step, int reg, int half) {
    return {thread / 32 * 16 + thread % 32 / 4 + reg % 2 * 8, step * 16 + reg / 2 * 8 + thread % 4 * 2 + half};
}

}  // namespace moegemm::hopper
