#include "providers/cpu/packed_weights.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "op/checked.hpp"
#include "providers/cpu/thread_pool.hpp"

namespace moegemm::cpu {
namespace {

constexpr std::int64_t cache_line = 64;
constexpr std::int64_t widest_panel = 64;

/// What all threads of a pack share.
struct PackJob {
    const Shape& shape;
    const PackedLayout& layout;
    const std::uint8_t* w;
    const std::uint8_t* w_scale;
    std::uint8_t* packed;
    std::atomic<std::int64_t> next{0};
};

/// A K block's elements of a panel's columns, (column, k): columns of W lie far apart, often by a power of two, and
/// would push one another out of the cache if they were read an element at a time.
struct Gathered {
    std::uint8_t bytes[widest_panel][k_block * 2];
};

void gather(const PackJob& job, std::int64_t expert, std::int64_t panel, std::int64_t block, Gathered& gathered) {
    const Shape& shape = job.shape;
    const std::int64_t width = shape.kernels->panel_columns;
    const std::int64_t bits = element_bits[static_cast<std::size_t>(shape.w)];
    const auto bytes = static_cast<std::size_t>(shape.depth(block) * bits / 8);
    for (std::int64_t column = 0; column < width; ++column) {
        if (column < shape.columns(panel)) {
            const std::int64_t row = expert * shape.spec.n + panel * width + column;
            std::memcpy(gathered.bytes[column], job.w + row * shape.w_row_bytes + block * k_block * bits / 8, bytes);
        } else {
            std::memset(gathered.bytes[column], 0, bytes);
        }
    }
}

template <class T>
void write_elements(const Gathered& gathered, std::int64_t width, std::int64_t depth, std::uint8_t* out) {
    for (std::int64_t k = 0; k < depth; ++k) {
        for (std::int64_t column = 0; column < width; ++column) {
            std::memcpy(out + (k * width + column) * static_cast<std::int64_t>(sizeof(T)),
                        &gathered.bytes[column][k * static_cast<std::int64_t>(sizeof(T))], sizeof(T));
        }
    }
}

/// Two k a byte and column in, four columns a 16-bit word out: nibble v of word l is column l + v·width/4.
void write_nibbles(const Gathered& gathered, std::int64_t width, std::int64_t depth, std::uint8_t* out) {
    const std::int64_t lanes = width / 4;
    for (std::int64_t pair = 0; pair < depth / 2; ++pair) {
        std::uint8_t* even = out + 2 * pair * (width / 2);
        std::uint8_t* odd = even + width / 2;
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
            for (std::int64_t half = 0; half < 2; ++half) {
                const unsigned low = gathered.bytes[lane + 2 * half * lanes][pair];
                const unsigned high = gathered.bytes[lane + (2 * half + 1) * lanes][pair];
                even[2 * lane + half] = static_cast<std::uint8_t>((low & 0x0FU) | ((high & 0x0FU) << 4));
                odd[2 * lane + half] = static_cast<std::uint8_t>((low >> 4) | (high & 0xF0U));
            }
        }
    }
}

void write_scales(const PackJob& job, std::int64_t expert, std::int64_t panel, std::int64_t block, std::uint8_t* out) {
    const Shape& shape = job.shape;
    const std::int64_t width = shape.kernels->panel_columns;
    const std::int64_t columns = shape.spec.scale_columns();
    // Padding columns are scaled by 1, an ordinary number in either format.
    const std::uint8_t one = shape.scale == GroupScale::ue8m0 ? 127 : 0x38;
    for (std::int64_t group = 0; group < shape.groups(block); ++group) {
        std::fill_n(out + group * width, width, one);
        for (std::int64_t column = 0; column < shape.columns(panel); ++column) {
            const std::int64_t n = panel * width + column;
            out[group * width + column] = job.w_scale[scales::w_scale_index(
                shape.spec.scale_layout, expert, n, block * shape.block_groups + group, shape.spec.n, columns)];
        }
    }
}

void pack_panel(const PackJob& job, std::int64_t expert, std::int64_t panel) {
    const Shape& shape = job.shape;
    const std::int64_t width = shape.kernels->panel_columns;
    Gathered gathered{};
    for (std::int64_t block = 0; block < shape.k_blocks; ++block) {
        std::uint8_t* scales = job.packed + job.layout.panels_at +
                               (expert * shape.panels + panel) * job.layout.panel_bytes +
                               block * job.layout.block_bytes;
        std::uint8_t* elements = scales + shape.groups(block) * width;
        write_scales(job, expert, panel, block, scales);
        gather(job, expert, panel, block, gathered);
        switch (element_bits[static_cast<std::size_t>(shape.w)]) {
            case 16:
                write_elements<std::uint16_t>(gathered, width, shape.depth(block), elements);
                break;
            case 8:
                write_elements<std::uint8_t>(gathered, width, shape.depth(block), elements);
                break;
            default:
                write_nibbles(gathered, width, shape.depth(block), elements);
                break;
        }
    }
}

void pack_some(void* context, int /*slot*/) {
    auto& job = *static_cast<PackJob*>(context);
    const std::int64_t count = job.shape.spec.experts * job.shape.panels;
    for (std::int64_t i = job.next.fetch_add(1); i < count; i = job.next.fetch_add(1)) {
        pack_panel(job, i / job.shape.panels, i % job.shape.panels);
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
    const std::int64_t width = shape.kernels->panel_columns;
    const std::int64_t bits = element_bits[static_cast<std::size_t>(shape.w)];
    PackedLayout layout{};
    layout.panels_at = checked_add(float_scale_bytes(shape.spec), cache_line - 1, what) / cache_line * cache_line;
    layout.row_bytes = width * bits / 8;
    layout.block_bytes = k_block * layout.row_bytes + shape.block_groups * width;
    const std::int64_t scale_rows = shape.scale == GroupScale::none ? 0 : shape.spec.scale_columns();
    layout.panel_bytes =
        checked_add(checked_mul(shape.spec.k, layout.row_bytes, what), checked_mul(scale_rows, width, what), what);
    layout.total_bytes =
        checked_add(layout.panels_at, checked_mul({shape.spec.experts, shape.panels, layout.panel_bytes}, what), what);
    return layout;
}

void pack_weights(const Shape& shape, const PackedLayout& layout, const Tensor& w, const Tensor& w_scale,
                  std::uint8_t* packed, int threads) {
    if (const std::int64_t bytes = float_scale_bytes(shape.spec); bytes > 0) {
        std::memcpy(packed, w_scale.data(), static_cast<std::size_t>(bytes));
        std::memset(packed + bytes, 0, static_cast<std::size_t>(layout.panels_at - bytes));
    }
    PackJob job{shape, layout, w.as<const std::uint8_t>(), w_scale.as<const std::uint8_t>(), packed};
    ThreadPool::shared().run(threads, pack_some, &job);
}

void unpack_column(const Shape& shape, const PackedLayout& layout, const std::uint8_t* elements, std::int64_t column,
                   std::int64_t depth, std::uint8_t* out) {
    if (shape.w != Element::e2m1) {
        for (std::int64_t k = 0; k < depth; ++k) {
            out[k] = elements[k * layout.row_bytes + column];
        }
        return;
    }
    const std::int64_t lanes = shape.kernels->panel_columns / 4;
    const std::int64_t vector = column / lanes;
    const std::int64_t byte = 2 * (column % lanes) + vector / 2;
    const auto shift = static_cast<unsigned>(vector % 2 * 4);
    for (std::int64_t k = 0; k < depth; k += 2) {
        const unsigned even = (elements[k * layout.row_bytes + byte] >> shift) & 0x0FU;
        const unsigned odd = (elements[(k + 1) * layout.row_bytes + byte] >> shift) & 0x0FU;
        out[k / 2] = static_cast<std::uint8_t>(even | (odd << 4));
    }
}

}  // namespace moegemm::cpu
