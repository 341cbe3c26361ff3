#include "providers/cpu/workspace.hpp"

#include <algorithm>

#include "op/checked.hpp"
#include "providers/cpu/blocking.hpp"
#include "providers/cpu/packed_weights.hpp"

namespace moegemm::cpu {
namespace {

constexpr std::int64_t cache_line = 64;

/// Two K blocks of a group of panels, decoded, or as many as are taken at a time of two panels.
std::int64_t decoded_bytes(const Shape& shape) noexcept {
    static_assert(2 * group_panels * k_block / 2 * line_bytes >= 2 * panel_columns * int8_k_block,
                  "a K block of a pair of panels of int8 has room");
    return 2 * std::max(group_panels, shape.matrix->deep_blocks) * shape.decoded_block_bytes();
}

constexpr std::int64_t round_to_line(std::int64_t bytes) { return (bytes + cache_line - 1) / cache_line * cache_line; }

}  // namespace

WorkspaceLayout WorkspaceLayout::from(const Shape& shape, int threads) {
    constexpr std::string_view what = "workspace";
    constexpr std::int64_t number = sizeof(float);
    // Tiles are whole, in A and in C.
    const std::int64_t most_rows = RowBlocks::of(shape).most;
    const std::int64_t rows = shape.matrix != nullptr ? most_rows : std::min(most_rows, shape.spec.max_rows);
    const std::int64_t few = shape.matrix != nullptr ? Shape::whole_tiles(shape.few_rows())
                                                     : std::min(shape.few_rows(), shape.spec.max_rows);
    const std::int64_t lines =  // of A, a K block each
        std::max(shape.resident_lines(rows), checked_mul(few, shape.k_blocks, what));
    const std::int64_t panels = std::min(most_columns_of_task(shape) / panel_columns, shape.panels);

    WorkspaceLayout layout;
    layout.experts_ = static_cast<std::size_t>(shape.spec.experts);
    layout.threads_at_ = round_to_line(checked_add(
        checked_mul(checked_add(shape.spec.experts, 1, what), sizeof(std::int64_t), what), cache_line, what));
    std::int64_t at = 0;
    const auto place = [&at](std::int64_t bytes) {
        const std::int64_t offset = at;
        at += round_to_line(bytes);
        return offset;
    };
    place(checked_mul(lines, std::max(k_block * number, shape.int8_dot ? shape.int8_row_bytes() : 0), what));
    layout.a_tiles_at_ = place(shape.matrix != nullptr ? checked_mul(lines, shape.tile_row_bytes(), what) : 0);
    layout.w_at_ =
        place(shape.matrix != nullptr ? decoded_bytes(shape) : k_block * shape.kernels->tile_columns * number);
    layout.stage_at_ = place(group_panels * PackedLayout::from(shape).block_bytes);
    layout.c_at_ = place(std::min(panels * panel_columns * rows * number, most_c_of_task));
    layout.sums_at_ = place(rows * shape.kernels->tile_columns * number);
    layout.factors_at_ = place(lines * static_cast<std::int64_t>(sizeof(RowFactor)));
    layout.wide_rows_at_ = place(lines);
    layout.wide_columns_at_ = place(group_panels * panel_columns);
    layout.thread_bytes_ = at;
    layout.total_ = checked_add(layout.threads_at_, checked_mul(at, threads, what), what);
    return layout;
}

ThreadBuffers WorkspaceLayout::thread(unsigned char* workspace, int slot) const noexcept {
    unsigned char* base = workspace + threads_at_ + slot * thread_bytes_;
    return {reinterpret_cast<float*>(base),
            base + a_tiles_at_,
            reinterpret_cast<float*>(base + w_at_),
            base + stage_at_,
            base + c_at_,
            reinterpret_cast<float*>(base + sums_at_),
            reinterpret_cast<RowFactor*>(base + factors_at_),
            base + wide_rows_at_,
            base + wide_columns_at_};
}

}  // namespace moegemm::cpu
