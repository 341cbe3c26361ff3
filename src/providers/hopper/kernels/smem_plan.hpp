/// \file
/// What lies where in a CTA's shared memory.
#pragma once

#include <cstdint>

#include "providers/hopper/kernels/fragment.hpp"

namespace moegemm::hopper {

/// What one CTA of an SM may have, and what the driver keeps of it (CUDA C++ Programming Guide, compute
/// capability 9.0).
inline constexpr int shared_bytes_per_cta = 227 * 1024;
inline constexpr int shared_bytes_per_sm = 228 * 1024;
inline constexpr int reserved_bytes_per_cta = 1024;
/// Swizzled tiles start at a multiple of the pattern's length.
inline constexpr int swizzle_bytes = 1024;

/// The queue of tiles to come (tile_queue.cuh): 16 bytes a slot and two barriers.
inline constexpr int tile_slot_bytes = 16;
[[nodiscard]] constexpr int tile_slots(int stages) { return stages + 6; }

/// A ring of stages, each some rows of W and of A of 128 bytes per chunk along K, then buffers for y, scales of each
/// stage, scales of tiles that are to be stored, and two barriers a stage.
///
///   | stage 0: W chunk 0 … W chunk n, A chunk 0 … A chunk n | stage 1 | … | y buffers | scales | factors | full … |
///   empty … | tiles |
struct SmemPlan {
    int w_rows;
    int a_rows;
    int chunks;  ///< of 128 bytes along K in a stage
    int stages;
    int y_buffers;  ///< of 64 rows × 64 columns of 2 bytes
    int scales;     ///< f32 in a stage
    int factors;    ///< f32 of the rows and columns of tiles that are to be stored

    [[nodiscard]] constexpr int w_chunk_bytes() const { return w_rows * row_bytes; }
    [[nodiscard]] constexpr int a_chunk_bytes() const { return a_rows * row_bytes; }
    [[nodiscard]] constexpr int a_offset() const { return chunks * w_chunk_bytes(); }  ///< in a stage
    [[nodiscard]] constexpr int stage_bytes() const { return chunks * (w_chunk_bytes() + a_chunk_bytes()); }
    static constexpr int y_buffer_bytes = wgmma_rows * row_bytes;
    [[nodiscard]] constexpr int y_offset() const { return stages * stage_bytes(); }
    [[nodiscard]] constexpr int scale_offset() const { return y_offset() + y_buffers * y_buffer_bytes; }
    [[nodiscard]] constexpr int factor_offset() const { return scale_offset() + stages * scales * 4; }
    [[nodiscard]] constexpr int barrier_offset() const { return factor_offset() + factors * 4; }
    [[nodiscard]] constexpr int tile_offset() const { return (barrier_offset() + 2 * stages * 8 + 15) / 16 * 16; }
    [[nodiscard]] constexpr int bytes() const { return tile_offset() + tile_slots(stages) * (tile_slot_bytes + 2 * 8); }

    [[nodiscard]] constexpr bool is_valid(int ctas_per_sm) const {
        return w_chunk_bytes() % swizzle_bytes == 0 && a_chunk_bytes() % swizzle_bytes == 0 && scales % 2 == 0 &&
               factors % 2 == 0 && bytes() <= shared_bytes_per_cta &&
               ctas_per_sm * (bytes() + reserved_bytes_per_cta) <= shared_bytes_per_sm;
    }
};

}  // namespace moegemm::hopper
