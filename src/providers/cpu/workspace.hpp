/// \file
/// The buffers of a call, in the workspace that the caller gives.
#pragma once

#include <cstdint>
#include <span>

#include "providers/cpu/shape.hpp"

namespace moegemm::cpu {

/// One thread's buffers.
struct ThreadBuffers {
    float* a;                    ///< (rows, k_block): a K block of A, decoded, or all of K of few rows; bytes of int8
    std::uint8_t* a_tiles;       ///< (whole tiles of rows, k_block): the same as tiles take it; none without tiles
    float* w;                    ///< (k_block, tile_columns): a K block of a tile, decoded; of tiles, lines of bf16
    std::uint8_t* stage;         ///< (group_panels): K blocks of weights that came unpacked, packed
    unsigned char* c;            ///< (tiles of a task, rows, tile_columns), f32 or int32
    float* sums;                 ///< (rows, tile_columns): sums apart from C, for the exact route
    RowFactor* factors;          ///< (rows), of one K block or of all
    std::uint8_t* wide_rows;     ///< likewise
    std::uint8_t* wide_columns;  ///< (group_panels, panel_columns)
};

/// Where the buffers lie, in bytes.
class WorkspaceLayout {
public:
    /// \throws Error overflow ("workspace")
    [[nodiscard]] static WorkspaceLayout from(const Shape& shape, int threads);

    [[nodiscard]] std::int64_t total_bytes() const noexcept { return total_; }
    /// Memory for TaskGrid::first_task.
    [[nodiscard]] std::span<std::int64_t> first_task(unsigned char* workspace) const noexcept {
        return {reinterpret_cast<std::int64_t*>(workspace), experts_ + 1};
    }
    [[nodiscard]] ThreadBuffers thread(unsigned char* workspace, int slot) const noexcept;

private:
    std::size_t experts_ = 0;
    std::int64_t threads_at_ = 0;  // of the first thread's buffers
    std::int64_t thread_bytes_ = 0;
    std::int64_t total_ = 0;
    std::int64_t a_tiles_at_ = 0;  // in a thread's buffers; A comes first
    std::int64_t w_at_ = 0;
    std::int64_t stage_at_ = 0;
    std::int64_t c_at_ = 0;
    std::int64_t sums_at_ = 0;
    std::int64_t factors_at_ = 0;
    std::int64_t wide_rows_at_ = 0;
    std::int64_t wide_columns_at_ = 0;
};

}  // namespace moegemm::cpu
