#include "providers/cpu/workspace.hpp"

#include <algorithm>

#include "op/checked.hpp"
#include "providers/cpu/blocking.hpp"

namespace moegemm::cpu {
namespace {

constexpr std::int64_t cache_line = 64;

constexpr std::int64_t round_to_line(std::int64_t bytes) { return (bytes + cache_line - 1) / cache_line * cache_line; }

}  // namespace

WorkspaceLayout WorkspaceLayout::from(const Shape& shape, int threads) {
    constexpr std::string_view what = "workspace";
    constexpr std::int64_t number = sizeof(float);
    const std::int64_t rows = std::min(most_rows_of_task, shape.spec.max_rows);
    const std::int64_t width = shape.kernels->panel_columns;
    const std::int64_t panels = std::min(most_columns_of_task / width, shape.panels);

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
    place(rows * k_block * number);
    layout.w_at_ = place(width * k_block * number);
    layout.stage_at_ = place(width * k_block * number);
    layout.c_at_ = place(panels * width * rows * number);
    layout.sums_at_ = place(rows * shape.kernels->tile_columns * number);
    layout.factors_at_ = place(rows * static_cast<std::int64_t>(sizeof(RowFactor)));
    layout.wide_rows_at_ = place(rows);
    layout.wide_columns_at_ = place(width);
    layout.thread_bytes_ = at;
    layout.total_ = checked_add(layout.threads_at_, checked_mul(at, threads, what), what);
    return layout;
}

ThreadBuffers WorkspaceLayout::thread(unsigned char* workspace, int slot) const noexcept {
    unsigned char* base = workspace + threads_at_ + slot * thread_bytes_;
    return {reinterpret_cast<float*>(base),
            reinterpret_cast<float*>(base + w_at_),
            reinterpret_cast<float*>(base + stage_at_),
            base + c_at_,
            reinterpret_cast<float*>(base + sums_at_),
            reinterpret_cast<RowFactor*>(base + factors_at_),
            base + wide_rows_at_,
            base + wide_columns_at_};
}

}  // namespace moegemm::cpu
