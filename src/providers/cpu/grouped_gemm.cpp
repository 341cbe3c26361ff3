// A task is a block of an expert's rows times a group of panels, over all of K:
//
//   for each K block
//       decode A's rows into f32                       rows × 128, second-level cache
//       for each panel
//           few rows, packed weights:  sums of all rows, weights decoded in registers
//           else:  decode the panel into f32           128 × panel, first-level cache
//                  for each of its two tiles:  sums of all rows
//           C += sums                                  rows × columns, second-level cache
//   for each row:  y = finish(C)
//
// Threads draw tasks from one counter. An element's bits do not depend on the cut (kernel_family.hpp).
#include "providers/cpu/grouped_gemm.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "providers/cpu/blocking.hpp"
#include "providers/cpu/exact_sum.hpp"
#include "providers/cpu/thread_pool.hpp"

namespace moegemm::cpu {
namespace {

constexpr std::int64_t scale_block = 128;  // columns of W that share fp8_block's scale
static_assert(k_block == scale_block, "a K block has one scale for each row of A and each block of columns");

/// What all threads of a call share.
struct Call {
    const Shape& shape;
    const PackedLayout& packed;
    const WorkspaceLayout& layout;
    const CallOperands& operands;
    unsigned char* workspace;
    TaskGrid grid;
    std::atomic<std::int64_t> next{0};
};

/// The factor of a row's sums, split so that neither sums · mantissa nor the whole leaves f32 while the product does
/// not: sums of 128 fp8 products lie within 2^±40.
RowFactor split_factor(double factor) {
    constexpr double small = 0x1p-60;
    constexpr double large = 0x1p60;
    const double magnitude = std::fabs(factor);
    if (magnitude >= small && magnitude <= large) {
        return {static_cast<float>(factor), 1.0F};
    }
    if (magnitude == 0.0 || !std::isfinite(factor)) {
        return {static_cast<float>(factor), 1.0F};
    }
    // Two f32 scales: the exponent lies within ±300, and half of it is in f32's range.
    int exponent = 0;
    const double mantissa = std::frexp(factor, &exponent);
    const int half = std::clamp(exponent / 2, -126, 126);
    const int rest = std::clamp(exponent - half, -126, 127);
    return {static_cast<float>(std::ldexp(mantissa, half)), std::ldexp(1.0F, rest)};
}

/// One task's way through K.
class TaskRun {
public:
    TaskRun(const Call& call, const ThreadBuffers& buffers, std::int64_t index)
        : shape_(call.shape), packed_(call.packed), operands_(call.operands), buffers_(buffers) {
        const TaskGrid::Task task = call.grid.task(index);
        rows_ = {task.expert, operands_.m_indptr[task.expert], task.row_begin, task.row_end - task.row_begin};
        panel_begin_ = task.panel_begin;
        panel_end_ = std::min(panel_begin_ + call.grid.panels_of_task, shape_.panels);
        c_tile_ = rows_.count * shape_.kernels->tile_columns;
    }

    void run() {
        // C's elements have 4 bytes in either type, and 0 is the same bits in both.
        std::memset(buffers_.c, 0, static_cast<std::size_t>((panel_end_ - panel_begin_) * 2 * c_tile_ * 4));
        for (std::int64_t block = 0; block < shape_.k_blocks; ++block) {
            const bool wide_rows = read_a_block(shape_, operands_, rows_, block, buffers_.a, buffers_.wide_rows);
            for (std::int64_t panel = panel_begin_; panel < panel_end_; ++panel) {
                if (shape_.combine == Combine::add_scaled) {
                    set_factors(block, panel);
                }
                add_panel(block, panel, wide_rows);
            }
        }
        finish();
    }

private:
    /// Factors of fp8_block's rows; panels of the same 128 columns share them.
    void set_factors(std::int64_t block, std::int64_t panel) {
        const std::int64_t width = shape_.kernels->panel_columns;
        if (panel != panel_begin_ && panel * width % scale_block != 0) {
            return;
        }
        const std::int64_t columns = shape_.spec.scale_columns();
        const std::int64_t blocks_of_n = (shape_.spec.n + scale_block - 1) / scale_block;
        const ScaleLayout order = shape_.spec.scale_layout;
        const double w_scale = static_cast<double>(operands_.w_factor[scales::w_scale_index(
            order, rows_.expert, panel * width / scale_block, block, blocks_of_n, columns)]);
        for (std::int64_t i = 0; i < rows_.count; ++i) {
            const float a_scale = operands_.a_factor[scales::a_scale_index(order, rows_.begin + i, block, rows_.expert,
                                                                           rows_.expert_row, operands_.rows, columns)];
            buffers_.factors[i] = split_factor(static_cast<double>(a_scale) * w_scale);
        }
    }

    [[nodiscard]] void* c_of(std::int64_t panel, std::int64_t tile) const {
        return buffers_.c + ((panel - panel_begin_) * 2 + tile) * c_tile_ * 4;
    }

    /// What is read after a panel's K block: the next panel's, or the first one's of the next K block.
    [[nodiscard]] const std::uint8_t* next_block(std::int64_t block, std::int64_t panel) const {
        const bool last_panel = panel + 1 == panel_end_;
        if (last_panel && block + 1 == shape_.k_blocks) {
            return nullptr;
        }
        return packed_block(shape_, packed_, operands_.packed, rows_.expert, last_panel ? panel_begin_ : panel + 1,
                            last_panel ? block + 1 : block)
            .scales;
    }

    void add_panel(std::int64_t block, std::int64_t panel, bool wide_rows) {
        const KernelFamily& kernels = *shape_.kernels;
        const auto format = static_cast<std::size_t>(shape_.format);
        bool wide_columns = false;
        if (operands_.packed != nullptr) {
            const PackedBlock weights = packed_block(shape_, packed_, operands_.packed, rows_.expert, panel, block);
            wide_columns = find_wide_columns(shape_, weights, block, buffers_.wide_columns);
            if (rows_.count <= kernels.panel_rows && !wide_rows && !wide_columns) {
                kernels.panel_sums[format]({buffers_.a, rows_.count, shape_.depth(block), weights.elements,
                                            weights.scales, c_of(panel, 0), c_tile_, buffers_.factors, shape_.combine,
                                            next_block(block, panel)});
                return;
            }
            kernels.decode_panel[format](weights.elements, weights.scales, shape_.depth(block), buffers_.w);
        } else {
            wide_columns = read_w_block(shape_, operands_, rows_.expert, panel, block, buffers_.stage, buffers_.w,
                                        buffers_.wide_columns);
        }
        const std::int64_t tiles = shape_.columns(panel) > kernels.tile_columns ? 2 : 1;
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
            TileCall call{buffers_.a,        buffers_.w + tile * k_block * kernels.tile_columns,
                          rows_.count,       shape_.depth(block),
                          c_of(panel, tile), buffers_.factors,
                          shape_.combine};
            if (!wide_rows && !wide_columns) {
                kernels.tile_sums(call);
                continue;
            }
            if (!wide_columns) {
                std::fill_n(buffers_.wide_columns, kernels.panel_columns, std::uint8_t{0});
            }
            call.c = buffers_.sums;
            call.combine = Combine::store;
            kernels.tile_sums(call);
            replace_wide_sums(shape_, packed_, operands_, rows_, panel, tile, block, buffers_.wide_rows,
                              buffers_.wide_columns, buffers_.sums);
            auto* c = static_cast<float*>(c_of(panel, tile));
            for (std::int64_t i = 0; i < c_tile_; ++i) {
                c[i] += buffers_.sums[i];
            }
        }
    }

    void finish() const {
        const std::int64_t column = panel_begin_ * shape_.kernels->panel_columns;
        const std::int64_t columns = std::min(panel_end_ * shape_.kernels->panel_columns, shape_.spec.n) - column;
        const std::int64_t y_bytes = info(shape_.spec.dst).bytes;
        const bool per_column = shape_.finish != Finish::row;
        for (std::int64_t i = 0; i < rows_.count; ++i) {
            const std::int64_t row = rows_.begin + i;
            shape_.kernels->finish_row(
                {buffers_.c + i * shape_.kernels->tile_columns * 4, c_tile_, columns, row_scale(row),
                 per_column ? operands_.w_factor + rows_.expert * shape_.spec.n + column : nullptr,
                 operands_.y + (row * shape_.spec.n + column) * y_bytes, shape_.finish, shape_.dst});
        }
    }

    [[nodiscard]] double row_scale(std::int64_t row) const {
        if (shape_.finish != Finish::row) {
            return static_cast<double>(operands_.a_factor[row]);
        }
        if (operands_.alpha == nullptr) {
            return 1.0;
        }
        return static_cast<double>(operands_.alpha[shape_.spec.row().alpha == Alpha::expert ? rows_.expert : 0]);
    }

    const Shape& shape_;
    const PackedLayout& packed_;
    const CallOperands& operands_;
    const ThreadBuffers& buffers_;
    RowRange rows_{};
    std::int64_t panel_begin_ = 0;
    std::int64_t panel_end_ = 0;
    std::int64_t c_tile_ = 0;  // elements of C from tile to tile
};

void run_some(void* context, int slot) {
    auto& call = *static_cast<Call*>(context);
    const ThreadBuffers buffers = call.layout.thread(call.workspace, slot);
    const std::int64_t tasks = call.grid.tasks();
    for (std::int64_t index = call.next.fetch_add(1); index < tasks; index = call.next.fetch_add(1)) {
        TaskRun(call, buffers, index).run();
    }
}

}  // namespace

void run_grouped_gemm(const Shape& shape, const PackedLayout& packed, const WorkspaceLayout& layout,
                      const CallOperands& operands, unsigned char* workspace, int threads) {
    const std::span<const std::int32_t> m_indptr(operands.m_indptr, static_cast<std::size_t>(shape.spec.experts) + 1);
    Call call{
        shape,
        packed,
        layout,
        operands,
        workspace,
        TaskGrid::from(m_indptr, shape.panels, shape.kernels->panel_columns, threads, layout.first_task(workspace))};
    if (const std::int64_t tasks = call.grid.tasks(); tasks > 0) {
        ThreadPool::shared().run(static_cast<int>(std::min<std::int64_t>(threads, tasks)), run_some, &call);
    }
}

}  // namespace moegemm::cpu
