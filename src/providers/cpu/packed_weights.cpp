#include "providers/cpu/packed_weights.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "op/checked.hpp"
#include "providers/cpu/thread_pool.hpp"

namespace moegemm::cpu {
namespace {

constexpr std::int64_t cache_line = 64;
constexpr std::int64_t word_bytes = 4;  // of a line, for each column

/// What all threads of a pack share.
struct PackJob {
    const Shape& shape;
    const PackedLayout& layout;
    RawWeights weights;
    std::uint8_t* packed;
    std::atomic<std::int64_t> next{0};
};

/// A K block's elements of a panel's columns, (column, k): columns of W lie far apart, often by a power of two, and
/// would push one another out of the cache if they were read a line's worth at a time.
struct Gathered {
    std::uint8_t bytes[panel_columns][std::max(2 * k_block, int8_k_block)];
};

void gather(const Shape& shape, const std::uint8_t* w, std::int64_t expert, std::int64_t panel, std::int64_t block,
            Gathered& gathered) {
    const std::int64_t bits = element_bits[static_cast<std::size_t>(shape.w)];
    const auto bytes = static_cast<std::size_t>(shape.depth(block) * bits / 8);
    const auto padded = static_cast<std::size_t>(shape.lines(block) * word_bytes);
    for (std::int64_t column = 0; column < panel_columns; ++column) {
        std::uint8_t* out = gathered.bytes[column];
        if (column < shape.columns(panel)) {
            const std::int64_t row = expert * shape.spec.n + panel * panel_columns + column;
            std::memcpy(out, w + row * shape.w_row_bytes + block * shape.block_depth * bits / 8, bytes);
            std::memset(out + bytes, 0, padded - bytes);
        } else {
            std::memset(out, 0, padded);
        }
    }
}

/// A line's words as they are.
void write_words(const Gathered& gathered, std::int64_t line, std::uint8_t* out) {
    for (std::int64_t column = 0; column < panel_columns; ++column) {
        std::memcpy(out + column * word_bytes, &gathered.bytes[column][line * word_bytes], word_bytes);
    }
}

/// Of four columns' words the first halves, then the second ones.
void write_halves(const Gathered& gathered, std::int64_t line, std::uint8_t* out) {
    constexpr std::int64_t quarter = 4;
    for (std::int64_t first = 0; first < panel_columns; first += quarter) {
        std::uint64_t low = 0;
        std::uint64_t high = 0;
        for (std::int64_t i = 0; i < quarter; ++i) {
            std::uint32_t word = 0;
            std::memcpy(&word, &gathered.bytes[first + i][line * word_bytes], word_bytes);
            low |= static_cast<std::uint64_t>(word & 0xFFFFU) << (16 * i);
            high |= static_cast<std::uint64_t>(word >> 16) << (16 * i);
        }
        std::memcpy(out + first * word_bytes, &low, sizeof low);
        std::memcpy(out + first * word_bytes + 8, &high, sizeof high);
    }
}

void write_scales(const Shape& shape, const std::uint8_t* w_scale, std::int64_t expert, std::int64_t panel,
                  std::int64_t block, std::uint8_t* out) {
    const std::int64_t columns = shape.spec.scale_columns();
    // Padding columns are scaled by 1, an ordinary number in either format.
    const std::uint8_t one = shape.scale == GroupScale::ue8m0 ? 127 : 0x38;
    for (std::int64_t group = 0; group < shape.groups(block); ++group) {
        std::fill_n(out + group * panel_columns, panel_columns, one);
        for (std::int64_t column = 0; column < shape.columns(panel); ++column) {
            const std::int64_t n = panel * panel_columns + column;
            out[group * panel_columns + column] = w_scale[scales::w_scale_index(
                shape.spec.scale_layout, expert, n, block * shape.block_groups + group, shape.spec.n, columns)];
        }
    }
}

/// The sums of a panel's columns of int8 over all of K.
void write_sums(const Shape& shape, const std::uint8_t* w, std::int64_t expert, std::int64_t panel, std::uint8_t* out) {
    std::int32_t sums[panel_columns] = {};
    static_assert(sizeof sums == line_bytes);
    for (std::int64_t column = 0; column < shape.columns(panel); ++column) {
        const std::uint8_t* row = w + (expert * shape.spec.n + panel * panel_columns + column) * shape.w_row_bytes;
        for (std::int64_t k = 0; k < shape.spec.k; ++k) {
            sums[column] += static_cast<std::int8_t>(row[k]);
        }
    }
    std::memcpy(out, sums, sizeof sums);
}

void pack_some(void* context, int /*slot*/) {
    auto& job = *static_cast<PackJob*>(context);
    const Shape& shape = job.shape;
    const std::int64_t count = shape.spec.experts * shape.panels;
    for (std::int64_t i = job.next.fetch_add(1); i < count; i = job.next.fetch_add(1)) {
        std::uint8_t* out = job.packed + job.layout.panels_at + i * job.layout.panel_bytes;
        for (std::int64_t block = 0; block < shape.k_blocks; ++block) {
            pack_block(shape, job.weights, i / shape.panels, i % shape.panels, block,
                       out + block * job.layout.block_bytes);
        }
        if (shape.w == Element::i8) {
            write_sums(shape, job.weights.w, i / shape.panels, i % shape.panels,
                       out + job.layout.panel_bytes - line_bytes);
        }
    }
}

/// Bytes of the f32 scales, which are kept as they are.
std::int64_t float_scale_bytes(const GemmSpec& spec) {
    constexpr std::int64_t bytes = sizeof(float);
    switch (spec.row().scaling) {
        case Scaling::token_channel:
            return checked_mul({spec.experts, spec.n, bytes}, "packed_w");
        case Scaling::block:
            return checked_mul({spec.experts, spec.scale_columns(), (spec.n + 127) / 128, bytes}, "packed_w");
        default:
            return 0;
    }
}

}  // namespace

PackedLayout PackedLayout::from(const Shape& shape) {
    constexpr std::string_view what = "packed_w";
    const std::int64_t line_depth = line_depths[static_cast<std::size_t>(shape.w)];
    PackedLayout layout{};
    layout.panels_at = checked_add(float_scale_bytes(shape.spec), cache_line - 1, what) / cache_line * cache_line;
    layout.block_bytes = shape.block_depth / line_depth * line_bytes + shape.block_groups * panel_columns;
    const std::int64_t scale_rows = shape.scale == GroupScale::none ? 0 : shape.spec.scale_columns();
    const std::int64_t of_sums = shape.w == Element::i8 ? 1 : 0;
    const std::int64_t lines = checked_add(shape.spec.k, line_depth - 1, what) / line_depth + of_sums;
    layout.panel_bytes =
        checked_add(checked_mul(lines, line_bytes, what), checked_mul(scale_rows, panel_columns, what), what);
    layout.total_bytes =
        checked_add(layout.panels_at, checked_mul({shape.spec.experts, shape.panels, layout.panel_bytes}, what), what);
    return layout;
}

void pack_block(const Shape& shape, const RawWeights& weights, std::int64_t expert, std::int64_t panel,
                std::int64_t block, std::uint8_t* out) {
    write_scales(shape, weights.w_scale, expert, panel, block, out);
    out += shape.groups(block) * panel_columns;
    Gathered gathered;  // NOLINT(cppcoreguidelines-pro-type-member-init): gather() writes all that is read
    gather(shape, weights.w, expert, panel, block, gathered);
    const std::int64_t lines = shape.lines(block);
    const bool words = shape.w != Element::e4m3 && shape.w != Element::e5m2;
    for (std::int64_t line = 0; line < lines; ++line) {
        words ? write_words(gathered, line, out + line * line_bytes)
              : write_halves(gathered, line, out + line * line_bytes);
    }
}

void pack_weights(const Shape& shape, const PackedLayout& layout, const Tensor& w, const Tensor& w_scale,
                  std::uint8_t* packed, int threads) {
    if (const std::int64_t bytes = float_scale_bytes(shape.spec); bytes > 0) {
        std::memcpy(packed, w_scale.data(), static_cast<std::size_t>(bytes));
        std::memset(packed + bytes, 0, static_cast<std::size_t>(layout.panels_at - bytes));
    }
    PackJob job{shape, layout, {w.as<const std::uint8_t>(), w_scale.as<const std::uint8_t>()}, packed};
    ThreadPool::shared().run(threads, pack_some, &job);
}

void unpack_column(Element element, const std::uint8_t* elements, std::int64_t column, std::int64_t depth,
                   std::uint8_t* out) {
    const bool words = element == Element::e2m1;
    const std::uint8_t* first = elements + (words ? column * word_bytes : column / 4 * 16 + column % 4 * 2);
    const std::int64_t bytes = depth * element_bits[static_cast<std::size_t>(element)] / 8;
    for (std::int64_t byte = 0; byte < bytes; ++byte) {
        const std::int64_t in_word = byte % word_bytes;
        out[byte] = first[byte / word_bytes * line_bytes + (words ? in_word : in_word / 2 * 8 + in_word % 2)];
    }
}

}  // namespace moegemm::cpu
