/// \file
/// How a call is cut into tasks: blocks of an expert's rows by groups of panels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "providers/cpu/shape.hpp"

namespace moegemm::cpu {

/// How the rows of an expert are cut: as few blocks as there can be, all of them nearly equal.
struct RowBlocks {
    std::int64_t most;      ///< rows of a block; a multiple of `multiple`
    std::int64_t multiple;  ///< of rows, where a block ends, unless the expert ends

    /// 240 rows of a K block take 120 KiB as f32: with C beside it, what a second-level cache holds. A multiple of
    /// every kernel's rows. Tiles have a height and caches of their own.
    [[nodiscard]] static RowBlocks of(const Shape& shape) noexcept {
        return shape.matrix != nullptr ? RowBlocks{shape.matrix->rows_of_task, matrix_tile} : RowBlocks{240, 1};
    }
    [[nodiscard]] constexpr std::int64_t count(std::int64_t rows) const noexcept { return (rows + most - 1) / most; }
    /// First row of block `block` of `count(rows)`; `rows` for the one after the last. Rounding up moves the ends of a
    /// block by less than `multiple`, and `most` is a multiple of it, so that no block gets more.
    [[nodiscard]] constexpr std::int64_t begin(std::int64_t rows, std::int64_t block) const noexcept {
        const std::int64_t equal = rows * block / count(rows);
        return std::min((equal + multiple - 1) / multiple * multiple, rows);
    }
};

/// Columns of a task: so many share one decoding of A, and their C is 480 KiB at most; 1 MiB where there are tiles,
/// beside which reading A weighs more.
[[nodiscard]] inline std::int64_t most_columns_of_task(const Shape& shape) noexcept {
    return shape.matrix != nullptr ? 1024 : 512;
}
inline constexpr std::int64_t most_c_of_task = std::int64_t{1} << 20;
/// Tasks for each of several threads: few of them would end unevenly, many would decode A often, which costs little
/// where no expert has more than few rows.
inline constexpr std::int64_t wanted_tasks_per_thread = 6;
inline constexpr std::int64_t wanted_tasks_of_few_rows = 16;

/// The queue of a call. Tasks are ordered by expert, panel group, row block, so that neighbours share their weights.
struct TaskGrid {
    RowBlocks rows_of_task;
    std::int64_t panels_of_task;  ///< the last group of an expert may have fewer
    std::int64_t panel_groups;
    std::span<const std::int32_t> m_indptr;
    std::span<std::int64_t> first_task;  ///< E+1, as m_indptr is of rows

    /// \param first_task memory for E+1 numbers, filled here
    [[nodiscard]] static TaskGrid from(const Shape& shape, std::span<const std::int32_t> m_indptr, int threads,
                                       std::span<std::int64_t> first_task) noexcept {
        const RowBlocks cut = RowBlocks::of(shape);
        std::int64_t blocks = 0;
        std::int64_t most_rows = 0;
        for (std::size_t e = 0; e + 1 < m_indptr.size(); ++e) {
            first_task[e] = blocks;
            const std::int64_t rows = m_indptr[e + 1] - m_indptr[e];
            blocks += cut.count(rows);
            most_rows = std::max(most_rows, rows);
        }
        first_task.back() = blocks;
        TaskGrid grid{cut, most_columns_of_task(shape) / panel_columns, 0, m_indptr, first_task};
        const std::int64_t c_rows = Shape::whole_tiles(std::min(most_rows, cut.most));
        while (grid.panels_of_task > group_panels &&
               grid.panels_of_task * panel_columns * c_rows * 4 > most_c_of_task) {
            grid.panels_of_task /= 2;
        }
        const std::int64_t each = most_rows <= shape.few_rows() ? wanted_tasks_of_few_rows : wanted_tasks_per_thread;
        const std::int64_t wanted = threads == 1 ? 1 : each * threads;
        const auto groups = [&] { return (shape.panels + grid.panels_of_task - 1) / grid.panels_of_task; };
        while (grid.panels_of_task > group_panels && groups() * blocks < wanted) {
            grid.panels_of_task /= 2;
        }
        grid.panel_groups = groups();
        for (std::int64_t& first : first_task) {
            first *= grid.panel_groups;
        }
        return grid;
    }

    [[nodiscard]] std::int64_t tasks() const noexcept { return first_task.back(); }

    /// A task: rows [row_begin, row_end) of expert `expert`, panels from `panel_begin` on.
    struct Task {
        std::int64_t expert;
        std::int64_t row_begin;
        std::int64_t row_end;
        std::int64_t panel_begin;
    };
    [[nodiscard]] Task task(std::int64_t index) const noexcept {
        const auto after = std::upper_bound(first_task.begin(), first_task.end(), index);
        const auto expert = static_cast<std::size_t>(after - first_task.begin()) - 1;
        const std::int64_t first_row = m_indptr[expert];
        const std::int64_t rows = m_indptr[expert + 1] - first_row;
        const std::int64_t blocks = rows_of_task.count(rows);
        const std::int64_t local = index - first_task[expert];
        const std::int64_t block = local % blocks;
        return {static_cast<std::int64_t>(expert), first_row + rows_of_task.begin(rows, block),
                first_row + rows_of_task.begin(rows, block + 1), local / blocks * panels_of_task};
    }
};

}  // namespace moegemm::cpu
