/// \file
/// What packing does, thread by thread, between barriers: the same source on the host, where tests run all threads of a
/// block one after the other and take every value back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <moegemm/formats/bits.hpp>
#include <moegemm/hd.hpp>
#include <moegemm/scale_layout.hpp>

#include "providers/hopper/kernels/packed_weights.hpp"
#include "providers/hopper/kernels/weight_decode.hpp"

namespace moegemm::hopper {

/// The contract's W and b_scale, and where they go.
struct PackCall {
    std::uint8_t* blocks;  ///< aligned to 16 bytes
    float* row_factors;
    float* rebased_factors;
    std::uint32_t* not_rebasable;  ///< 0 before
    const std::uint8_t* w;         ///< (E, N, K · bits / 8)
    const std::uint8_t* w_scale;   ///< codes of E matrices of (N, scale_columns)
    ScaleLayout layout;
    std::int64_t n;
    std::int64_t row_bytes;  ///< of W
    std::int64_t scale_columns;
    PackedShape shape;
    bool in_words;  ///< whether rows of W are aligned to 4 bytes
};

/// A block of rows of one expert: first which scales each row has, from all of them; then blocks along K, four at a
/// time, by way of memory that the threads share; then what is one a row. In `pack_row_block`, a barrier of all threads
/// goes between any two steps.
template <WeightFormat format>
struct RowBlockPacking {
    static constexpr int threads = 256;
    static constexpr int depths_at_once = 4;

    static constexpr int rows = WeightBlock::rows;
    static constexpr int bits = block_of(format).bits;
    static constexpr int group = block_of(format).group;
    static constexpr int block_groups = block_of(format).groups();
    static constexpr int groups = block_groups * depths_at_once;  ///< of a row
    static constexpr int block_row_bytes = WeightBlock::depth * bits / 8;
    static constexpr int row_bytes = block_row_bytes * depths_at_once;
    static constexpr int threads_a_row = threads / rows;
    static constexpr int threads_a_block = 128;
    static constexpr bool is_ue8m0 = format != WeightFormat::e2m1_ue4m3;
    static constexpr int nan_code = is_ue8m0 ? 255 : 127;
    static constexpr int left_out = bits == 4 ? ScaleCode::e2m1_exponent : ScaleCode::e4m3_exponent;

    /// Scale codes from `least` to `most`, NaN left out.
    struct Span {
        int least;
        int most;

        [[nodiscard]] MOEGEMM_HD static constexpr Span none() { return {nan_code, 0}; }
        MOEGEMM_HD constexpr void add(int code) {
            if (code != nan_code) {
                least = code < least ? code : least;
                most = code > most ? code : most;
            }
        }
        MOEGEMM_HD constexpr void add(const Span& other) {
            least = other.least < least ? other.least : least;
            most = other.most > most ? other.most : most;
        }
    };

    /// What the threads share.
    struct Shared {
        alignas(4) std::uint8_t
            values[rows][static_cast<std::size_t>(row_bytes + 4)];  ///< 4 more: rows begin in different banks
        std::uint8_t codes[rows][static_cast<std::size_t>(groups)];
        Span all[rows][threads_a_row];   ///< of each thread's scales
        Span used[rows][threads_a_row];  ///< of those that count
        int has_nan[rows][threads_a_row];
    };

    using Words = std::uint32_t[static_cast<std::size_t>(bits)];  ///< a thread's of a block

    const PackCall& call;
    Shared& shared;
    std::int64_t expert;
    int row_block;

    /// Looks at a thread's share of the scales of its row.
    MOEGEMM_HD constexpr void look_at_scales(int thread) const {
        const int row = thread / threads_a_row;
        const int part = thread % threads_a_row;
        Span span = Span::none();
        bool nan = false;
        if (exists(row)) {
            for (std::int64_t column = part; column < call.scale_columns; column += threads_a_row) {
                const int code = scale_code(row, column);
                nan = nan || code == nan_code;
                span.add(code);
            }
        }
        shared.all[row][part] = span;
        shared.has_nan[row][part] = nan ? 1 : 0;
    }

    /// Where a row's scales are so far apart that something would be lost: those of groups that are all zero do not
    /// count, whatever they are.
    MOEGEMM_HD void look_at_values(int thread) const {
        const int row = thread / threads_a_row;
        const int part = thread % threads_a_row;
        Span span = shared.all[row][part];
        if (is_ue8m0 && exists(row) && loses(span_of(shared.all[row]))) {
            span = Span::none();
            for (std::int64_t column = part; column < call.scale_columns; column += threads_a_row) {
                if (has_values(row, column)) {
                    span.add(scale_code(row, column));
                }
            }
        }
        shared.used[row][part] = span;
    }

    /// Loads a thread's share of the blocks `depth` … depth + 3; what lies outside of W is 0.
    MOEGEMM_HD void load(int thread, int depth) const {
        const std::int64_t first_byte = static_cast<std::int64_t>(depth) * block_row_bytes;
        const auto inside = [&](int row, int byte) { return exists(row) && first_byte + byte < call.row_bytes; };
        if (call.in_words) {
            for (int at = thread * 4; at < rows * row_bytes; at += threads * 4) {
                const int row = at / row_bytes;
                const int byte = at % row_bytes;
                std::uint32_t word = 0;
                if (inside(row, byte)) {
                    std::memcpy(&word, __builtin_assume_aligned(row_of(row) + first_byte + byte, 4), 4);
                }
                std::memcpy(__builtin_assume_aligned(&shared.values[row][byte], 4), &word, 4);
            }
        } else {
            for (int at = thread; at < rows * row_bytes; at += threads) {
                const int row = at / row_bytes;
                const int byte = at % row_bytes;
                shared.values[row][byte] = inside(row, byte) ? row_of(row)[first_byte + byte] : std::uint8_t{0};
            }
        }
        for (int at = thread; at < rows * groups; at += threads) {
            const int row = at / groups;
            const std::int64_t column = static_cast<std::int64_t>(depth) * block_groups + at % groups;
            // What is not there is packed as NaN is: as a number that keeps out of the way.
            shared.codes[row][at % groups] = static_cast<std::uint8_t>(
                exists(row) && column < call.scale_columns ? scale_code(row, column) : nan_code);
        }
    }

    /// Stores a thread's share of these blocks, packed.
    MOEGEMM_HD void store(int thread, int depth) const {
        for (int own = thread / threads_a_block; own < depths_at_once && depth + own < call.shape.depths;
             own += threads / threads_a_block) {
            constexpr WeightBlock block = block_of(format);
            std::uint8_t* const target = call.blocks + call.shape.block(expert, row_block, depth + own) * block.bytes();
            const int lane = thread % threads_a_block;
            Words words;
            make_words(lane, own, words);
            for (int piece = 0; piece < bits / 4; ++piece) {
                std::memcpy(__builtin_assume_aligned(target + WeightBlock::value_offset(lane, piece), 16),
                            words + piece * 4, 16);
            }
            for (int at = lane; at < rows * block_groups; at += threads_a_block) {
                const int row = at / block_groups;
                const int which = at % block_groups;
                target[block.scale_offset(row, which)] =
                    packed_scale(shared.codes[row][own * block_groups + which], span_of(shared.used[row]));
            }
        }
    }

    /// Stores what is one a row, for a thread's.
    MOEGEMM_HD constexpr void store_row(int thread) const {
        if (thread < rows) {
            const std::int64_t row = (expert * call.shape.row_blocks + row_block) * rows + thread;
            const Span span = span_of(shared.used[thread]);
            call.row_factors[row] = formats::bits_float(row_factor(span, has_nan(thread)));
            if constexpr (is_ue8m0) {
                call.rebased_factors[row] = formats::bits_float(rebased_factor(span, has_nan(thread)));
                if (!is_rebasable(span)) {
                    *call.not_rebasable = 1;
                }
            }
        }
    }

private:
    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t row_in_expert(int row) const {
        return static_cast<std::int64_t>(row_block) * rows + row;
    }
    [[nodiscard]] MOEGEMM_HD constexpr bool exists(int row) const { return row_in_expert(row) < call.n; }
    [[nodiscard]] MOEGEMM_HD constexpr const std::uint8_t* row_of(int row) const {
        return call.w + (expert * call.n + row_in_expert(row)) * call.row_bytes;
    }
    [[nodiscard]] MOEGEMM_HD constexpr int scale_code(int row, std::int64_t column) const {
        const int code = call.w_scale[scales::w_scale_index(call.layout, expert, row_in_expert(row), column, call.n,
                                                            call.scale_columns)];
        return is_ue8m0 ? code : code & 127;
    }
    [[nodiscard]] MOEGEMM_HD static constexpr Span span_of(const Span (&parts)[threads_a_row]) {
        Span span = Span::none();
        for (const Span& part : parts) {
            span.add(part);
        }
        return span;
    }
    [[nodiscard]] MOEGEMM_HD static constexpr bool loses(const Span& span) {
        // Where e4m3 values are lowered by some binades, most of them stay as they are.
        constexpr int harmless = bits == 4 ? Rebased::e5m2_span : 4;
        return row_base(span.most, left_out) > 0 || (is_ue8m0 && !Rebased::has(span.least, span.most, harmless));
    }
    [[nodiscard]] MOEGEMM_HD static constexpr bool is_rebasable(const Span& span) {
        // Of e4m3, the others are rounded.
        return span.least > span.most ||
               Rebased::has(bits == 4 ? span.least : span.most, span.most, bits == 4 ? Rebased::e5m2_span : 0);
    }
    /// Whether a group has one that is not zero.
    [[nodiscard]] MOEGEMM_HD bool has_values(int row, std::int64_t column) const {
        constexpr int bytes = group * bits / 8;
        constexpr std::uint32_t magnitudes = bits == 4 ? 0x77777777U : 0x7F7F7F7FU;
        const std::uint8_t* const first = row_of(row) + column * bytes;
        std::uint32_t any = 0;
        for (int at = 0; at < bytes; at += 4) {
            std::uint32_t word = 0;
            if (call.in_words) {
                std::memcpy(&word, __builtin_assume_aligned(first + at, 4), 4);
            } else {
                std::memcpy(&word, first + at, 4);
            }
            any |= word & magnitudes;
        }
        return any != 0;
    }
    [[nodiscard]] MOEGEMM_HD constexpr bool has_nan(int row) const {
        int any = 0;
        for (const int nan : shared.has_nan[row]) {
            any |= nan;
        }
        return any != 0;
    }

    /// The words of a lane's fragments in the block that is number `own` of those in shared memory.
    MOEGEMM_HD constexpr void make_words(int lane, int own, Words& words) const {
        for (int step = 0; step < WeightBlock::steps; ++step) {
            std::uint8_t found[4][2]{};
            for (int reg = 0; reg < 4; ++reg) {
                const FragmentPlace place = fragment_place(lane, step, reg, 0);
                const int k = own * WeightBlock::depth + place.k;
                if constexpr (bits == 4) {
                    std::uint8_t both = shared.values[place.row][k / 2];
                    if (!is_ue8m0 && shared.codes[place.row][k / group] == 0) {
                        both &= 0x88;  // a scale of 0, which the packed code cannot express
                    }
                    found[reg][0] = both & 15;
                    found[reg][1] = both >> 4;
                } else {
                    for (int half = 0; half < 2; ++half) {
                        found[reg][half] = shared.values[place.row][k + half];
                        if ((found[reg][half] & 127) == 127) {
                            shared.has_nan[place.row][0] = 1;
                        }
                    }
                }
            }
            if constexpr (bits == 4) {
                words[step] = e2m1_word(found);
            } else {
                const std::uint8_t upper[2][2] = {{found[0][0], found[0][1]}, {found[2][0], found[2][1]}};
                const std::uint8_t lower[2][2] = {{found[1][0], found[1][1]}, {found[3][0], found[3][1]}};
                words[step * 2] = e4m3_word(upper);
                words[step * 2 + 1] = e4m3_word(lower);
            }
        }
    }

    /// NaN is the row's factor. Its scales, and those of groups that have no values, are packed as numbers that the
    /// row's others keep company.
    /// \param code of the contract
    /// \param span of the row
    [[nodiscard]] MOEGEMM_HD static constexpr std::uint8_t packed_scale(int code, const Span& span) {
        if constexpr (is_ue8m0) {
            const int kept = code < span.least || code > span.most ? span.most : code;
            return packed_ue8m0(kept, row_base(span.most, left_out), left_out);
        } else {
            return code == nan_code || code == 0 ? std::uint8_t{8} : packed_ue4m3(code);  // 8: any number
        }
    }

    /// As an f32's bits: what scales leave out, or NaN.
    [[nodiscard]] MOEGEMM_HD static constexpr std::uint32_t row_factor(const Span& span, bool nan) {
        const int power = is_ue8m0 ? row_base(span.most, left_out) : left_out - ScaleCode::ue4m3_raised;
        return nan ? 0x7FC00000U : static_cast<std::uint32_t>(power + 127) << 23;
    }
    /// The same of a row that can be rebased: what its largest scale is above the one that it becomes.
    [[nodiscard]] MOEGEMM_HD static constexpr std::uint32_t rebased_factor(const Span& span, bool nan) {
        const int exponent = span.most - (bits == 4 ? Rebased::e5m2_top : Rebased::e4m3_top);  // a row of zeros: 0
        return nan ? 0x7FC00000U : static_cast<std::uint32_t>(exponent < 0 ? 0 : exponent) << 23;
    }
};

}  // namespace moegemm::hopper
