// A task is a block of an expert's rows times a range of panels, over all of K. Few rows are decoded once for all of K,
// and then weights are read as streams, a group of four panels or two side by side:
//
//   for each group of panels
//       for each K block:  C += sums of all rows, weights decoded in registers
//       y = finish(C)
//
// For many rows it is A that stays in the cache, as many K blocks of it as fit: one for vectors; for tiles two or more
// of int8, four or more of bf16.
//
//   for each run of K blocks
//       decode A's rows                                second-level cache
//       for each tile of panels
//           for each K block of the run (of tiles: some at a time)
//               decode the panels                      first-level cache
//               C += sums of all rows
//           y = finish(C), after the last run
//
// Weights that come unpacked are packed first, a K block of a group at a time. int8 goes the same ways with nothing to
// decode where the machine multiplies it. Threads draw tasks from one counter. An element's bits do not depend on the
// cut (kernel_family.hpp).
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
        in_tiles_ = shape_.in_tiles(rows_.count);
        buffer_rows_ = in_tiles_ ? Shape::whole_tiles(rows_.count) : rows_.count;
        tile_panels_ = shape_.kernels->tile_columns / panel_columns;
        c_tile_ = buffer_rows_ * shape_.kernels->tile_columns;
    }

    void run() { rows_.count <= shape_.few_rows() ? run_few_rows() : run_many_rows(); }

private:
    struct PanelRange {
        std::int64_t begin;
        std::int64_t count;
    };

    void run_few_rows() {
        read_a({0, shape_.k_blocks});
        const std::int64_t step = shape_.panels_of_few(rows_.count);
        for (std::int64_t panel = panel_begin_; panel < panel_end_; panel += step) {
            const PanelRange range{panel, std::min(step, panel_end_ - panel)};
            start(range, 0);
            if (needs_factors(panel)) {
                for (std::int64_t block = 0; block < shape_.k_blocks; ++block) {
                    set_factors(block, block, panel);
                }
            }
            for (std::int64_t block = 0; block < shape_.k_blocks;) {
                if (const std::int64_t end = streamed() ? stream_end(block) : block; end > block) {
                    block += add_stream(block, end, range);
                }
                if (block < shape_.k_blocks) {
                    add_group(block, block, range, 0);
                    ++block;
                }
            }
            finish(range, 0);
        }
    }

    void run_many_rows() {
        const std::int64_t resident = shape_.resident_blocks(buffer_rows_);
        const std::int64_t step = streamed() ? 2 : group_panels;
        for (std::int64_t begin = 0; begin < shape_.k_blocks; begin += resident) {
            const std::int64_t end = std::min(begin + resident, shape_.k_blocks);
            read_a({begin, end - begin});
            for (std::int64_t panel = panel_begin_; panel < panel_end_; panel += step) {
                const PanelRange range{panel, std::min(step, panel_end_ - panel)};
                add_run(begin, end, range);
                if (end == shape_.k_blocks) {
                    finish(range, panel - panel_begin_);
                }
            }
        }
    }

    /// K blocks [begin, end), whose rows lie in places from 0 on, of some panels.
    void add_run(std::int64_t begin, std::int64_t end, PanelRange range) const {
        const std::int64_t c_panel = range.begin - panel_begin_;
        if (needs_factors(range.begin)) {
            for (std::int64_t block = begin; block < end; ++block) {
                set_factors(block, block - begin, range.begin);
            }
        }
        for (std::int64_t block = begin; block < end;) {
            const std::int64_t stop = std::min(block + shape_.deep_blocks(), end);
            if (streamed() && stream_end(block, block - begin, stop) == stop &&
                add_deep({begin, block, stop, end}, range)) {
                block = stop;
                continue;
            }
            if (block == 0) {
                start(range, c_panel);
            }
            for (; block < stop; ++block) {
                add_group(block, block - begin, range, c_panel);
            }
        }
    }

    /// Whether products of tiles read the weights as they were packed beforehand.
    [[nodiscard]] bool streamed() const noexcept { return in_tiles_ && operands_.packed != nullptr; }

    /// The K blocks from `block` on that are whole and have no row for the exact route end here.
    [[nodiscard]] std::int64_t stream_end(std::int64_t block) const {
        return stream_end(block, block, shape_.k_blocks);
    }
    [[nodiscard]] std::int64_t stream_end(std::int64_t block, std::int64_t place, std::int64_t limit) const {
        for (; block < limit && shape_.depth(block) == shape_.block_depth; ++block, ++place) {
            const std::uint8_t* wide = wide_rows_of(place);
            if (!shape_.int8_dot && std::any_of(wide, wide + rows_.count, [](std::uint8_t row) { return row != 0; })) {
                break;
            }
        }
        return block;
    }

    /// A's rows in places from `place` on as tiles take them.
    [[nodiscard]] TileRows tile_rows(std::int64_t place) const {
        const std::int64_t row_bytes = shape_.tile_row_bytes();
        const std::uint8_t* data = shape_.int8_dot ? int8_a_of(place) : a_tiles_of(place);
        const bool by_tiles = shape_.matrix->a_by_tiles;
        return {data,
                by_tiles ? line_bytes : row_bytes,
                by_tiles ? matrix_tile * line_bytes : line_bytes,
                matrix_tile * row_bytes,
                buffer_rows_ * row_bytes,
                buffer_rows_ / matrix_tile};
    }
    [[nodiscard]] std::int64_t block_depth_tiles() const noexcept {
        return shape_.block_depth / (matrix_tile * (shape_.int8_dot ? 4 : 2));
    }
    [[nodiscard]] DecodePanelBf16 decoder() const noexcept {
        return shape_.as_packed() ? nullptr : shape_.family->bf16->panel[static_cast<std::size_t>(shape_.format)];
    }

    /// Few rows times K blocks [begin, end), as far as the weights' scales are of tiles. \return how many blocks
    [[nodiscard]] std::int64_t add_stream(std::int64_t begin, std::int64_t end, PanelRange range) const {
        const MatrixKernels& matrix = *shape_.matrix;
        StreamCall call{};
        call.a = tile_rows(begin);
        call.weights = weights_of(begin, range);
        call.block_bytes = packed_.block_bytes;
        call.blocks = end - begin;
        call.depth_tiles = block_depth_tiles();
        call.decode = decoder();
        call.format = shape_.format;
        call.lines = reinterpret_cast<std::uint8_t*>(buffers_.w);
        call.c = c_of(0);
        call.c_tile = c_tile_;
        call.rows = rows_.count;
        call.factors = factors_of(begin);
        call.times_asked = shape_.family->reading.times_asked;
        return (shape_.int8_dot                         ? matrix.int8_stream
                : shape_.combine == Combine::add_scaled ? matrix.bf16_scaled_stream
                                                        : matrix.bf16_stream)(call);
    }

    /// K blocks [begin, end) of a run, whose rows lie in places from 0 on.
    struct PartOfRun {
        std::int64_t run_begin;
        std::int64_t begin;
        std::int64_t end;
        std::int64_t run_end;
    };

    /// Many rows times some K blocks of a pair of panels. \return whether the weights' scales are of tiles; else
    /// nothing is done
    [[nodiscard]] bool add_deep(const PartOfRun& part, PanelRange range) const {
        const MatrixKernels& matrix = *shape_.matrix;
        const PanelGroup pair = weights_of(part.begin, range);
        MatrixCall call{};
        call.a = tile_rows(part.begin - part.run_begin);
        call.depth_tiles = block_depth_tiles();
        call.blocks = part.end - part.begin;
        call.rows = rows_.count;
        call.factors = factors_of(part.begin - part.run_begin);
        call.c = c_of(range.begin - panel_begin_);
        call.start = part.begin == 0 ? Start::from_zero : Start::from_c;
        call.b = pair.elements;
        call.b_stride = pair.stride;
        call.b_block = packed_.block_bytes;
        if (decoder() != nullptr && !decode_pair(pair, call)) {
            return false;
        }
        call.times_asked = shape_.family->reading.times_asked;
        call.next[0] = next_weights(part, range.begin);
        call.next[1] = next_rows(part, range.begin);
        call.next_c = buffer_rows_ * shape_.kernels->tile_columns * 4 / line_bytes;
        (shape_.int8_dot                         ? matrix.int8_sums
         : shape_.combine == Combine::add_scaled ? matrix.bf16_scaled_sums
                                                 : matrix.bf16_sums)(call);
        return true;
    }

    /// Decodes whole K blocks of a pair of panels. \return whether all their scales are of tiles
    [[nodiscard]] bool decode_pair(const PanelGroup& pair, MatrixCall& call) const {
        auto* lines = reinterpret_cast<std::uint8_t*>(buffers_.w);
        call.b = lines;
        call.b_block = shape_.decoded_block_bytes();
        call.b_stride = call.blocks * call.b_block;
        for (std::int64_t i = 0; i < 2 * call.blocks; ++i) {
            const std::int64_t at = i / call.blocks * pair.stride + i % call.blocks * packed_.block_bytes;
            if (!decoder()(pair.elements + at, pair.scales + at, k_block, 0, lines + i * call.b_block)) {
                return false;
            }
        }
        return true;
    }

    /// The weights after a part of a run of a pair of panels: of the same pair, or of the next one, or, after the last
    /// pair, of the first one in the next run.
    [[nodiscard]] LineRuns next_weights(const PartOfRun& part, std::int64_t panel) const {
        std::int64_t block = part.end;
        if (block == part.run_end) {
            panel += 2;
            block = part.run_begin;
            if (panel >= panel_end_) {
                panel = panel_begin_;
                block = part.run_end;
            }
        }
        const std::int64_t blocks = std::min(shape_.deep_blocks(), shape_.k_blocks - block);
        if (blocks <= 0) {
            return {};
        }
        const PanelGroup pair = weights_of(block, {panel, 2});
        return {pair.scales, pair.stride, 2, blocks * packed_.block_bytes / line_bytes};
    }
    /// What of A the next run needs, a share of the rows for every part of this one.
    [[nodiscard]] LineRuns next_rows(const PartOfRun& part, std::int64_t panel) const {
        const std::int64_t depth = std::min((part.run_end - part.run_begin) * shape_.block_depth,
                                            shape_.spec.k - part.run_end * shape_.block_depth);
        if (depth <= 0) {
            return {};
        }
        const auto parts_of = [&](std::int64_t blocks) {
            return (blocks + shape_.deep_blocks() - 1) / shape_.deep_blocks();
        };
        const std::int64_t parts = parts_of(part.run_end - part.run_begin);
        const std::int64_t share = (panel - panel_begin_) / 2 * parts + parts_of(part.begin - part.run_begin);
        const std::int64_t shares = (panel_end_ - panel_begin_) / 2 * parts;
        const std::int64_t first = rows_.count * share / shares;
        const std::int64_t bits = element_bits[static_cast<std::size_t>(shape_.a)];
        return {operands_.a + (rows_.begin + first) * shape_.a_row_bytes + part.run_end * shape_.block_depth * bits / 8,
                shape_.a_row_bytes, rows_.count * (share + 1) / shares - first,
                (depth * bits / 8 + line_bytes - 1) / line_bytes};
    }

    /// Whether a panel's factors are not those of the panel before.
    [[nodiscard]] bool needs_factors(std::int64_t panel) const noexcept {
        return shape_.combine == Combine::add_scaled &&
               (panel == panel_begin_ || panel * panel_columns % scale_block == 0);
    }

    /// `count` panels of a group.
    [[nodiscard]] static PanelGroup part_of(const PanelGroup& group, std::int64_t first, std::int64_t count) noexcept {
        return {group.scales + first * group.stride, group.elements + first * group.stride, group.stride, count};
    }

    /// Marks the columns that need the exact route, and says whether any of them, or any row, does.
    [[nodiscard]] bool find_wide(std::int64_t block, std::int64_t place, const PanelGroup& weights,
                                 OrdinaryScales ordinary) const {
        const bool columns = find_wide_columns(shape_, weights, block, ordinary, buffers_.wide_columns);
        const std::uint8_t* rows = wide_rows_of(place);
        const bool any_row = std::any_of(rows, rows + rows_.count, [](std::uint8_t row) { return row != 0; });
        if (any_row && !columns) {
            std::fill_n(buffers_.wide_columns, weights.panels * panel_columns, std::uint8_t{0});
        }
        return columns || any_row;
    }

    /// C before the first K block: 0, which is the same bits in both of its types, or what is taken off for A's 128.
    void start(PanelRange range, std::int64_t c_panel) const {
        if (!offset_packed()) {
            std::memset(c_of(c_panel), 0, static_cast<std::size_t>(range.count * panel_columns * buffer_rows_ * 4));
            return;
        }
        for (std::int64_t i = 0; i < range.count; ++i) {
            const std::uint8_t* sums = packed_sums(shape_, packed_, operands_.packed, rows_.expert, range.begin + i);
            std::uint32_t off[panel_columns];
            std::memcpy(off, sums, sizeof off);
            for (std::uint32_t& number : off) {
                number *= static_cast<std::uint32_t>(-128);
            }
            unsigned char* c = c_of(c_panel + i) + (c_panel + i) % tile_panels_ * line_bytes;
            for (std::int64_t row = 0; row < rows_.count; ++row) {
                std::memcpy(c + row * tile_panels_ * line_bytes, off, sizeof off);
            }
        }
    }
    /// Whether int8's rows come plus 128, and packing summed up what is to be taken off.
    [[nodiscard]] bool offset_packed() const noexcept {
        return operands_.packed != nullptr && shape_.int8_dot && !in_tiles_ && shape_.family->int8->take_off != nullptr;
    }

    /// The buffers have places for a K block's rows: as many as K blocks of A are read at a time, all of few rows.
    [[nodiscard]] float* a_of(std::int64_t place) const { return buffers_.a + place * rows_.count * k_block; }
    [[nodiscard]] std::uint8_t* int8_a_of(std::int64_t place) const {
        return reinterpret_cast<std::uint8_t*>(buffers_.a) + place * buffer_rows_ * shape_.int8_row_bytes();
    }
    [[nodiscard]] std::uint8_t* a_tiles_of(std::int64_t place) const {
        return buffers_.a_tiles + place * buffer_rows_ * shape_.tile_row_bytes();
    }
    [[nodiscard]] RowFactor* factors_of(std::int64_t place) const { return buffers_.factors + place * rows_.count; }
    [[nodiscard]] std::uint8_t* wide_rows_of(std::int64_t place) const {
        return buffers_.wide_rows + place * rows_.count;
    }
    [[nodiscard]] unsigned char* c_of(std::int64_t panel) const {
        return buffers_.c + panel / tile_panels_ * c_tile_ * 4;
    }

    /// Reads K blocks into places from 0 on.
    void read_a(BlockRange blocks) const {
        if (shape_.int8_dot) {
            in_tiles_ ? read_int8_tiles(shape_, operands_, rows_, blocks, int8_a_of(0))
                      : read_int8_blocks(shape_, operands_, rows_, blocks, int8_a_of(0));
        } else if (in_tiles_) {
            read_tile_blocks(shape_, operands_, rows_, blocks, a_tiles_of(0), wide_rows_of(0));
        } else {
            for (std::int64_t place = 0; place < blocks.count; ++place) {
                read_a_block(shape_, operands_, rows_, blocks.begin + place, a_of(place), wide_rows_of(place));
            }
        }
    }

    /// Factors of fp8_block's rows in the 128 columns that a panel lies in.
    void set_factors(std::int64_t block, std::int64_t place, std::int64_t panel) const {
        const std::int64_t columns = shape_.spec.scale_columns();
        const std::int64_t blocks_of_n = (shape_.spec.n + scale_block - 1) / scale_block;
        const ScaleLayout order = shape_.spec.scale_layout;
        const double w_scale = static_cast<double>(operands_.w_factor[scales::w_scale_index(
            order, rows_.expert, panel * panel_columns / scale_block, block, blocks_of_n, columns)]);
        for (std::int64_t i = 0; i < rows_.count; ++i) {
            const float a_scale = operands_.a_factor[scales::a_scale_index(order, rows_.begin + i, block, rows_.expert,
                                                                           rows_.expert_row, operands_.rows, columns)];
            factors_of(place)[i] = split_factor(static_cast<double>(a_scale) * w_scale);
        }
    }

    /// The weights of a K block of some panels, packed now where they come unpacked.
    [[nodiscard]] PanelGroup weights_of(std::int64_t block, PanelRange range) const {
        if (operands_.packed != nullptr) {
            return packed_group(shape_, packed_, operands_.packed, rows_.expert, range.begin, range.count, block);
        }
        for (std::int64_t i = 0; i < range.count; ++i) {
            pack_block(shape_, {operands_.w, operands_.w_scale}, rows_.expert, range.begin + i, block,
                       buffers_.stage + i * packed_.block_bytes);
        }
        return {buffers_.stage, buffers_.stage + shape_.groups(block) * panel_columns, packed_.block_bytes,
                range.count};
    }

    /// \param place   of A's K block
    /// \param c_panel where the panels lie in C
    void add_group(std::int64_t block, std::int64_t place, PanelRange range, std::int64_t c_panel) const {
        const PanelGroup weights = weights_of(block, range);
        if (in_tiles_) {
            add_tiles(block, place, weights, c_panel);
            return;
        }
        if (shape_.int8_dot) {
            const Int8Kernels& kernels = *shape_.family->int8;
            const Int8Call call{int8_a_of(place),
                                rows_.count,
                                shape_.lines(block),
                                weights,
                                next_tile(),
                                reinterpret_cast<std::int32_t*>(c_of(c_panel)),
                                c_tile_,
                                shape_.family->reading.times_asked};
            if (kernels.take_off != nullptr && !offset_packed()) {
                kernels.take_off(call);
            }
            kernels.sums(call);
            return;
        }
        const bool wide = find_wide(block, place, weights, OrdinaryScales::of_f32(shape_.w));
        const auto format = static_cast<std::size_t>(shape_.format);
        if (!wide && rows_.count <= shape_.kernels->direct_rows[format]) {
            ask_for_scales(block, weights);
            shape_.kernels->panel_sums[format]({a_of(place), rows_.count, shape_.depth(block), weights, c_of(c_panel),
                                                c_tile_, factors_of(place), shape_.combine});
            return;
        }
        for (std::int64_t first = 0; first < range.count; first += tile_panels_) {
            add_tile(block, place, weights, first, c_of(c_panel + first), wide);
        }
    }

    /// How far from a tile's K block the one lies that comes next, or one of the next: of few rows the panels' next K
    /// block, of many rows the next panels' same one.
    [[nodiscard]] std::int64_t next_tile() const noexcept {
        if (operands_.packed == nullptr) {
            return 0;
        }
        return rows_.count <= shape_.few_rows() ? packed_.block_bytes : tile_panels_ * packed_.panel_bytes;
    }

    /// Asks for the scales of what comes after `weights`: they are looked over before anything is multiplied.
    void ask_for_scales(std::int64_t block, const PanelGroup& weights) const {
        for (std::int64_t byte = 0; byte < shape_.groups(block) * panel_columns; byte += line_bytes) {
            for (std::int64_t panel = 0; panel < weights.panels; ++panel) {
                __builtin_prefetch(weights.scales + next_tile() + panel * weights.stride + byte);
            }
        }
    }

    /// \param first of the tile's panels in `group`
    void add_tile(std::int64_t block, std::int64_t place, const PanelGroup& group, std::int64_t first, void* c,
                  bool wide) const {
        const FloatKernels& kernels = *shape_.kernels;
        const PanelGroup weights = part_of(group, first, tile_panels_);
        for (std::int64_t panel = 0; panel < tile_panels_; ++panel) {
            kernels.decode_panel[static_cast<std::size_t>(shape_.format)](
                weights.elements + panel * weights.stride, weights.scales + panel * weights.stride, shape_.depth(block),
                buffers_.w + panel * panel_columns, kernels.tile_columns);
        }
        ask_for_scales(block, weights);
        TileCall call{a_of(place),
                      buffers_.w,
                      rows_.count,
                      shape_.depth(block),
                      c,
                      factors_of(place),
                      shape_.combine,
                      weights.elements + next_tile(),
                      weights.stride,
                      line_bytes / line_depths[static_cast<std::size_t>(shape_.w)]};
        if (!wide) {
            kernels.tile_sums(call);
            return;
        }
        call.c = buffers_.sums;
        call.combine = Combine::store;
        kernels.tile_sums(call);
        replace_wide_sums(shape_, operands_, rows_, weights, block, wide_rows_of(place),
                          buffers_.wide_columns + first * panel_columns, buffers_.sums);
        auto* sums = static_cast<float*>(c);
        for (std::int64_t i = 0; i < c_tile_; ++i) {
            sums[i] += buffers_.sums[i];
        }
    }

    /// A K block's lines of a pair of panels as tiles take them: as they are, or decoded or completed with zeros.
    struct TileLines {
        const std::uint8_t* lines;
        std::int64_t stride;  ///< bytes to the second panel's
    };
    [[nodiscard]] TileLines tile_lines(std::int64_t block, const PanelGroup& pair, std::int64_t depth_tiles) const {
        const bool as_packed = shape_.as_packed();
        const std::int64_t lines = as_packed ? shape_.lines(block) : (shape_.depth(block) + 1) / 2;
        if (as_packed && lines == depth_tiles * matrix_tile) {
            return {pair.elements, pair.stride};
        }
        auto* buffer = reinterpret_cast<std::uint8_t*>(buffers_.w);
        const std::int64_t each = as_packed ? line_bytes : shape_.matrix->w_line_bytes;
        const std::int64_t bytes = depth_tiles * matrix_tile * each;
        for (std::int64_t panel = 0; panel < 2; ++panel) {
            std::uint8_t* out = buffer + panel * bytes;
            const std::uint8_t* elements = pair.elements + panel * pair.stride;
            std::int64_t written = lines * each;
            if (as_packed) {
                std::memcpy(out, elements, static_cast<std::size_t>(written));
            } else {
                decoder()(elements, pair.scales + panel * pair.stride, shape_.depth(block), 0, out);
                written = shape_.lines(block) * line_depths[static_cast<std::size_t>(shape_.w)] / 2 * each;
            }
            std::memset(out + written, 0, static_cast<std::size_t>(bytes - written));
        }
        return {buffer, bytes};
    }

    void add_tiles(std::int64_t block, std::int64_t place, const PanelGroup& group, std::int64_t c_panel) const {
        const MatrixKernels& matrix = *shape_.matrix;
        const std::uint8_t* wide_rows = wide_rows_of(place);
        const bool wide = !shape_.int8_dot && find_wide(block, place, group, OrdinaryScales::of_tiles());
        const std::int64_t tile_depth = matrix_tile * (shape_.int8_dot ? 4 : 2);
        const std::int64_t depth_tiles = (shape_.depth(block) + tile_depth - 1) / tile_depth;
        for (std::int64_t first = 0; first < group.panels; first += 2) {
            const PanelGroup pair = part_of(group, first, 2);
            const TileLines lines = tile_lines(block, pair, depth_tiles);
            MatrixCall call{};
            call.a = tile_rows(place);
            call.blocks = 1;
            call.b = lines.lines;
            call.b_stride = lines.stride;
            call.depth_tiles = depth_tiles;
            call.c = c_of(c_panel + first);
            call.start = Start::from_c;
            call.rows = rows_.count;
            call.factors = factors_of(place);
            call.times_asked = shape_.family->reading.times_asked;
            if (shape_.int8_dot) {
                matrix.int8_sums(call);
                continue;
            }
            const std::uint8_t* columns = buffers_.wide_columns + first * panel_columns;
            if (wide) {
                add_wide_sums(block, pair, wide_rows, columns, static_cast<const float*>(call.c));
            }
            shape_.combine == Combine::add_scaled ? matrix.bf16_scaled_sums(call) : matrix.bf16_sums(call);
            if (wide) {
                put_wide_sums(wide_rows, columns, static_cast<float*>(call.c));
            }
        }
    }

    /// The wide elements of C after this K block, into `sums`; C as it is before.
    void add_wide_sums(std::int64_t block, const PanelGroup& pair, const std::uint8_t* wide_rows,
                       const std::uint8_t* wide_columns, const float* c) const {
        replace_wide_sums(shape_, operands_, rows_, pair, block, wide_rows, wide_columns, buffers_.sums);
        for (std::int64_t i = 0; i < rows_.count * shape_.kernels->tile_columns; ++i) {
            buffers_.sums[i] += c[i];
        }
    }
    void put_wide_sums(const std::uint8_t* wide_rows, const std::uint8_t* wide_columns, float* c) const {
        const std::int64_t columns = shape_.kernels->tile_columns;
        for (std::int64_t i = 0; i < rows_.count * columns; ++i) {
            if (wide_rows[i / columns] != 0 || wide_columns[i % columns] != 0) {
                c[i] = buffers_.sums[i];
            }
        }
    }

    /// Writes y's columns of some panels.
    /// \param c_panel where the panels lie in C
    void finish(PanelRange range, std::int64_t c_panel) const {
        const std::int64_t column = range.begin * panel_columns;
        const std::int64_t columns = std::min((range.begin + range.count) * panel_columns, shape_.spec.n) - column;
        const std::int64_t y_bytes = info(shape_.spec.dst).bytes;
        const bool per_column = shape_.finish != Finish::row;
        const auto y_at = [&](std::int64_t row) { return operands_.y + (row * shape_.spec.n + column) * y_bytes; };
        constexpr std::int64_t rows_ahead = 2;
        for (std::int64_t i = 0; i < rows_.count; ++i) {
            const std::int64_t row = rows_.begin + i;
            if (i + rows_ahead < rows_.count) {
                for (std::int64_t byte = 0; byte < columns * y_bytes; byte += line_bytes) {
                    __builtin_prefetch(y_at(row + rows_ahead) + byte, 1);
                }
            }
            shape_.kernels->finish_row(
                {c_of(c_panel) + i * shape_.kernels->tile_columns * 4, c_tile_, columns, row_scale(row),
                 per_column ? operands_.w_factor + rows_.expert * shape_.spec.n + column : nullptr, y_at(row),
                 shape_.finish, shape_.dst});
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
    bool in_tiles_ = false;
    std::int64_t buffer_rows_ = 0;  // rows, or those of whole tiles
    std::int64_t tile_panels_ = 0;
    std::int64_t c_tile_ = 0;  // elements of C from tile to tile
};

void run_some(void* context, int slot) {
    auto& call = *static_cast<Call*>(context);
    const ThreadBuffers buffers = call.layout.thread(call.workspace, slot);
    const MatrixKernels* matrix = call.shape.matrix;
    if (matrix != nullptr) {
        matrix->begin();
    }
    const std::int64_t tasks = call.grid.tasks();
    for (std::int64_t index = call.next.fetch_add(1); index < tasks; index = call.next.fetch_add(1)) {
        TaskRun(call, buffers, index).run();
    }
    if (matrix != nullptr) {
        matrix->end();
    }
}

}  // namespace

void run_grouped_gemm(const Shape& shape, const PackedLayout& packed, const WorkspaceLayout& layout,
                      const CallOperands& operands, unsigned char* workspace, int threads) {
    const std::span<const std::int32_t> m_indptr(operands.m_indptr, static_cast<std::size_t>(shape.spec.experts) + 1);
    Call call{shape,    packed,    layout,
              operands, workspace, TaskGrid::from(shape, m_indptr, threads, layout.first_task(workspace))};
    if (const std::int64_t tasks = call.grid.tasks(); tasks > 0) {
        ThreadPool::shared().run(static_cast<int>(std::min<std::int64_t>(threads, tasks)), run_some, &call);
    }
}

}  // namespace moegemm::cpu
