// What `pack` does on the device, done on the host by the same source: every weight comes back out of the packed bytes
// by the way that the kernels take.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/formats/formats.hpp>

#include "provider/crc32.hpp"
#include "providers/hopper/kernels/packed_weights.hpp"
#include "providers/hopper/kernels/weight_decode.hpp"
#include "providers/hopper/kernels/weight_packing.hpp"
#include "providers/hopper/packed_parts.hpp"

namespace moegemm::hopper {
namespace {

using formats::Bf16;
using formats::E2m1;
using formats::E4m3;
using formats::E5m2;
using formats::Ue4m3;
using formats::Ue8m0;

/// W and b_scale as the contract has them.
struct Weights {
    WeightFormat format;
    ScaleLayout layout;
    std::int64_t experts;
    std::int64_t n;
    std::int64_t k;
    std::vector<std::uint8_t> values;
    std::vector<std::uint8_t> scales;

    [[nodiscard]] bool is_ue8m0() const { return format != WeightFormat::e2m1_ue4m3; }
    [[nodiscard]] int bits() const { return block_of(format).bits; }
    [[nodiscard]] std::int64_t row_bytes() const { return k * bits() / 8; }
    [[nodiscard]] std::int64_t columns() const { return k / block_of(format).group; }
    [[nodiscard]] std::size_t value_byte(std::int64_t expert, std::int64_t row, std::int64_t at) const {
        return static_cast<std::size_t>((expert * n + row) * row_bytes() + at * bits() / 8);
    }
    [[nodiscard]] std::size_t scale_byte(std::int64_t expert, std::int64_t row, std::int64_t column) const {
        return static_cast<std::size_t>(scales::w_scale_index(layout, expert, row, column, n, columns()));
    }
    [[nodiscard]] std::uint8_t code(std::int64_t expert, std::int64_t row, std::int64_t at) const {
        const std::uint8_t byte = values[value_byte(expert, row, at)];
        return bits() == 8 ? byte : static_cast<std::uint8_t>(at % 2 == 0 ? byte & 15 : byte >> 4);
    }
    [[nodiscard]] double scale(std::int64_t expert, std::int64_t row, std::int64_t column) const {
        const std::uint8_t found = scales[scale_byte(expert, row, column)];
        return static_cast<double>(is_ue8m0() ? Ue8m0::decode(found) : Ue4m3::decode(found));
    }
    /// Exact: NaN where the value or its scale is one.
    [[nodiscard]] double weight(std::int64_t expert, std::int64_t row, std::int64_t at) const {
        const std::uint8_t found = code(expert, row, at);
        return static_cast<double>(bits() == 8 ? E4m3::decode(found) : E2m1::decode(found)) *
               scale(expert, row, at / block_of(format).group);
    }
};

/// Which scales are drawn.
enum class Draw { narrow /* of a row within Rebased::e5m2_span */, wide, any };

/// \param nan_rows    how many of some hundred rows have a NaN, as a scale or as a value
/// \param zero_groups whether some groups are all zero
Weights random_weights(WeightFormat format, ScaleLayout layout, Draw draw, int nan_rows, bool zero_groups,
                       std::mt19937& random) {
    const auto pick = [&](std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(high - low + 1));
    };
    const int group = block_of(format).group;
    Weights w{format, layout, pick(1, 3), pick(1, 330), group * pick(1, 400 / group), {}, {}};
    w.values.resize(static_cast<std::size_t>(w.experts * w.n * w.row_bytes()));
    for (std::uint8_t& byte : w.values) {
        byte = static_cast<std::uint8_t>(random());
        if (w.bits() == 8 && (byte & 127) == 127) {
            byte ^= 1;
        }
    }
    const bool swizzled = layout != ScaleLayout::linear;
    w.scales.assign(static_cast<std::size_t>(w.experts * (swizzled ? scales::padded_rows(w.n) : w.n) *
                                             (swizzled ? scales::padded_columns(w.columns()) : w.columns())),
                    0xFF);  // the padding's bytes, which nothing may read: NaN
    for (std::int64_t expert = 0; expert < w.experts; ++expert) {
        for (std::int64_t row = 0; row < w.n; ++row) {
            // A row's scales lie around one of its own, so that, but for Draw::any, all weights are normal bf16
            // numbers.
            const std::int64_t middle = draw == Draw::narrow ? 127 : pick(75, 194);
            for (std::int64_t column = 0; column < w.columns(); ++column) {
                std::int64_t found = pick(0, 126) | pick(0, 1) << 7;  // ue4m3, whose highest bit means nothing
                if (w.is_ue8m0()) {
                    found = draw == Draw::narrow ? middle + pick(-13, 13)
                            : draw == Draw::wide ? middle + pick(-60, 60)
                                                 : pick(0, 254);
                }
                w.scales[w.scale_byte(expert, row, column)] = static_cast<std::uint8_t>(found);
                if (w.is_ue8m0() && zero_groups && pick(0, 19) == 0) {  // of any scale
                    for (std::int64_t k = column * group; k < (column + 1) * group; ++k) {
                        std::uint8_t& byte = w.values[w.value_byte(expert, row, k)];
                        byte = static_cast<std::uint8_t>(byte & (w.bits() == 8 ? 0x80U : 0x88U));
                    }
                    w.scales[w.scale_byte(expert, row, column)] = static_cast<std::uint8_t>(pick(0, 254));
                }
            }
            if (pick(0, 99) < nan_rows) {
                if (w.bits() == 8 && pick(0, 1) == 0) {
                    w.values[w.value_byte(expert, row, pick(0, w.k - 1))] = pick(0, 1) == 0 ? 0x7F : 0xFF;
                } else {
                    w.scales[w.scale_byte(expert, row, pick(0, w.columns() - 1))] = w.is_ue8m0() ? 255 : 127;
                }
            }
        }
    }
    return w;
}

struct Packed {
    std::vector<std::uint8_t> bytes;
    std::vector<float> row_factors;
    std::vector<float> rebased_factors;
    std::uint32_t not_rebasable = 0;
};

/// All of pack's threads, one after the other between two barriers.
template <WeightFormat format>
void pack_all(const PackCall& call, std::int64_t experts) {
    using Packing = RowBlockPacking<format>;
    const auto shared = std::make_unique<typename Packing::Shared>();
    std::memset(shared.get(), 0xA5, sizeof *shared);
    for (std::int64_t expert = 0; expert < experts; ++expert) {
        for (int row_block = 0; row_block < call.shape.row_blocks; ++row_block) {
            const Packing packing{call, *shared, expert, row_block};
            const auto with_all = [](const auto& step) {
                for (int thread = 0; thread < Packing::threads; ++thread) {
                    step(thread);
                }
            };
            with_all([&](int thread) { packing.look_at_scales(thread); });
            with_all([&](int thread) { packing.look_at_values(thread); });
            for (int depth = 0; depth < call.shape.depths; depth += Packing::depths_at_once) {
                with_all([&](int thread) { packing.load(thread, depth); });
                with_all([&](int thread) { packing.store(thread, depth); });
            }
            with_all([&](int thread) { packing.store_row(thread); });
        }
    }
}

/// \param poison what the bytes are before
Packed pack(const Weights& w, bool in_words, std::uint8_t poison = 0xA5) {
    const PackedParts parts = packed_parts(w.format, w.experts, w.n, w.k);
    const PackedShape shape = PackedShape::of(w.n, w.k);
    Packed packed;
    packed.bytes.assign(static_cast<std::size_t>(parts.row_factors), poison);
    packed.row_factors.assign(static_cast<std::size_t>(w.experts * shape.row_blocks * WeightBlock::rows), -1.0F);
    packed.rebased_factors.assign(packed.row_factors.size(), static_cast<float>(poison));
    PackCall call{};
    call.blocks = packed.bytes.data();
    call.row_factors = packed.row_factors.data();
    call.rebased_factors = packed.rebased_factors.data();
    call.not_rebasable = &packed.not_rebasable;
    call.w = w.values.data();
    call.w_scale = w.scales.data();
    call.layout = w.layout;
    call.n = w.n;
    call.row_bytes = w.row_bytes();
    call.scale_columns = w.columns();
    call.shape = shape;
    call.in_words = in_words && w.row_bytes() % 4 == 0;
    switch (w.format) {
        case WeightFormat::e2m1_ue8m0:
            pack_all<WeightFormat::e2m1_ue8m0>(call, w.experts);
            break;
        case WeightFormat::e2m1_ue4m3:
            pack_all<WeightFormat::e2m1_ue4m3>(call, w.experts);
            break;
        case WeightFormat::e4m3_ue8m0:
            pack_all<WeightFormat::e4m3_ue8m0>(call, w.experts);
            break;
    }
    return packed;
}

/// What a thread of the kernels gets of a block, as weight_fragments.cuh has it.
class ThreadsFragments {
public:
    ThreadsFragments(WeightFormat format, const std::uint8_t* block, int thread)
        : format_(format), block_(block), thread_(thread) {
        for (int piece = 0; piece < block_of(format).bits / 4; ++piece) {
            std::memcpy(&words_[static_cast<std::size_t>(piece) * 4], block + WeightBlock::value_offset(thread, piece),
                        16);
        }
    }

    /// Decoded, times its scale's factor: exactly, in place of a bf16 product.
    [[nodiscard]] double value(int step, int reg, int half) const {
        const FragmentPlace place = fragment_place(thread_, step, reg, half);
        const WeightBlock block = block_of(format_);
        const std::uint32_t code = block_[block.scale_offset(place.row, place.k / block.group)];
        const std::uint32_t factors =
            format_ == WeightFormat::e2m1_ue4m3 ? ue4m3_factors(code << 16 | code) : ue8m0_factors(code << 16 | code);
        const auto number = [half](std::uint32_t pair) {
            return static_cast<double>(Bf16::decode(static_cast<std::uint16_t>(pair >> (16 * half))));
        };
        return number(decoded(step, reg)) * number(factors);
    }

    /// The same as e5m2, of an mxfp4 block whose rows can be rebased.
    /// \param factors of the thread's two rows
    [[nodiscard]] double rebased(int step, int reg, int half, const std::array<float, 2>& factors) const {
        constexpr WeightBlock block = block_of(WeightFormat::e2m1_ue8m0);
        const int row = fragment_place(thread_, 0, 0, 0).row;
        std::uint32_t scales = 0;
        std::memcpy(&scales, block_ + block.scale_offset(row, 0), sizeof scales);
        const std::uint32_t offsets = scales - (scale_offset_base(formats::float_bits(factors[0])) |
                                                scale_offset_base(formats::float_bits(factors[1])) << 8) *
                                                   0x00010001U;
        const auto group = static_cast<std::uint32_t>(step / 2);
        const E5m2Words words = e5m2_words(words_[static_cast<std::size_t>(step)], e5m2_magnitudes(offsets, group * 2),
                                           e5m2_magnitudes(offsets, group * 2 + 1));
        const std::uint32_t word = reg % 2 == 0 ? words.first : words.second;
        return static_cast<double>(E5m2::decode(static_cast<std::uint8_t>(word >> (8 * (half * 2 + reg / 2)))));
    }

private:
    [[nodiscard]] std::uint32_t decoded(int step, int reg) const {
        const auto word = [this](int i) { return words_[static_cast<std::size_t>(i)]; };
        if (block_of(format_).bits == 8) {
            const std::uint32_t own = word(step * 2 + reg % 2);
            return reg < 2 ? e4m3_register<false>(own) : e4m3_register<true>(own);
        }
        switch (reg) {
            case 0:
                return e2m1_register<0>(word(step));
            case 1:
                return e2m1_register<1>(word(step));
            case 2:
                return e2m1_register<2>(word(step));
            default:
                return e2m1_register<3>(word(step));
        }
    }

    WeightFormat format_;
    const std::uint8_t* block_;
    int thread_;
    std::array<std::uint32_t, 8> words_{};
};

/// Whether multiply_pairs gives this product as it is.
bool is_bf16(double value) {
    return static_cast<double>(Bf16::decode(Bf16::encode(static_cast<float>(value)))) == value;
}

/// How many weights were too small beside their row's largest scale.
struct Seen {
    std::int64_t exact = 0;
    std::int64_t rebased = 0;
    std::int64_t small = 0;
    std::int64_t nan_rows = 0;
};

/// Takes every value of every block back, those of the padding, too.
void expect_all_back(const Weights& w, const Packed& packed, Seen& seen) {
    const PackedShape shape = PackedShape::of(w.n, w.k);
    std::vector<bool> is_nan(packed.row_factors.size());
    bool rebasable = w.is_ue8m0();
    for (std::int64_t expert = 0; expert < w.experts; ++expert) {
        for (int row = 0; row < shape.row_blocks * WeightBlock::rows; ++row) {
            bool wanted = false;
            int least = 255;
            int most = 0;
            for (std::int64_t k = 0; k < w.k && row < w.n; ++k) {
                wanted = wanted || std::isnan(w.weight(expert, row, k));
                const int code = w.scales[w.scale_byte(expert, row, k / block_of(w.format).group)];
                if (code != 255 && w.weight(expert, row, k) != 0) {
                    least = std::min(least, code);
                    most = std::max(most, code);
                }
            }
            // Of e4m3, scales of one row may be as far apart as they are: values are rounded.
            rebasable = rebasable && (least > most || (w.bits() == 4 ? Rebased::has(least, most, Rebased::e5m2_span)
                                                                     : Rebased::has(most, most, 0)));
            const auto at = static_cast<std::size_t>(expert * shape.row_blocks * WeightBlock::rows + row);
            const float factor = packed.row_factors[at];
            ASSERT_EQ(std::isnan(factor), wanted) << "row " << row;
            ASSERT_TRUE(wanted || std::exp2(std::ilogb(factor)) == factor) << factor;
            is_nan[at] = wanted;
            seen.nan_rows += wanted ? 1 : 0;
        }
    }
    if (w.is_ue8m0()) {
        ASSERT_EQ(packed.not_rebasable == 0, rebasable);
    }
    for (std::int64_t expert = 0; expert < w.experts; ++expert) {
        for (int row_block = 0; row_block < shape.row_blocks; ++row_block) {
            for (int depth = 0; depth < shape.depths; ++depth) {
                const std::uint8_t* block =
                    packed.bytes.data() + shape.block(expert, row_block, depth) * block_of(w.format).bytes();
                for (int i = 0; i < 128 * WeightBlock::steps * 8; ++i) {
                    const int thread = i / (WeightBlock::steps * 8);
                    const int step = i / 8 % WeightBlock::steps;
                    const int reg = i / 2 % 4;
                    const int half = i % 2;
                    const FragmentPlace place = fragment_place(thread, step, reg, half);
                    const std::int64_t row = row_block * WeightBlock::rows + place.row;
                    const std::int64_t k = depth * WeightBlock::depth + place.k;
                    const double found = ThreadsFragments(w.format, block, thread).value(step, reg, half);
                    ASSERT_TRUE(std::isfinite(found)) << "0 · A has to be 0, and NaN is the factor's";
                    const auto at = static_cast<std::size_t>(expert * shape.row_blocks * WeightBlock::rows + row);
                    if (is_nan[at]) {
                        continue;
                    }
                    const auto factor = static_cast<double>(packed.row_factors[at]);
                    const double wanted = row < w.n && k < w.k ? w.weight(expert, row, k) : 0.0;
                    if (wanted != 0 && std::fabs(wanted) < 0x1p-126 * factor) {
                        ++seen.small;
                        continue;
                    }
                    ASSERT_EQ(found * factor, wanted) << "expert " << expert << ", row " << row << ", k " << k;
                    ASSERT_EQ(std::signbit(found), std::signbit(wanted));
                    ASSERT_TRUE(is_bf16(found)) << found;
                    ++seen.exact;
                    if (rebasable && w.bits() == 8) {
                        // What its scale is below the row's top is what it is lowered by, before it is rounded.
                        const float rebased_factor = packed.rebased_factors[at];
                        const std::uint32_t top = packed_top(formats::float_bits(rebased_factor), Rebased::e4m3_top,
                                                             ScaleCode::e4m3_exponent, 255);
                        const std::uint32_t scale =
                            block[block_of(w.format).scale_offset(place.row, place.k / block_of(w.format).group)];
                        ASSERT_GE(top, scale) << "subtracting bytes never borrows";
                        if (row < w.n && k < w.k) {
                            const auto value = static_cast<double>(E4m3::decode(w.code(expert, row, k)));
                            ASSERT_EQ(std::ldexp(value, static_cast<int>(scale) - static_cast<int>(top)) *
                                          static_cast<double>(rebased_factor),
                                      wanted);
                        }
                        ++seen.rebased;
                    }
                    if (rebasable && w.bits() == 4) {
                        const std::size_t first = at - static_cast<std::size_t>(place.row % 16 / 8 * 8);
                        const double as_e5m2 =
                            ThreadsFragments(w.format, block, thread)
                                .rebased(step, reg, half,
                                         {packed.rebased_factors[first], packed.rebased_factors[first + 8]});
                        ASSERT_EQ(as_e5m2 * static_cast<double>(packed.rebased_factors[at]), wanted);
                        ASSERT_EQ(std::signbit(as_e5m2), std::signbit(wanted));
                        ++seen.rebased;
                    }
                }
            }
        }
    }
}

Seen expect_all_back(WeightFormat format, Draw draw, int nan_rows) {
    Seen seen;
    std::mt19937 random(1);
    for (const ScaleLayout layout :
         {ScaleLayout::linear, ScaleLayout::swizzled_128x4, ScaleLayout::swizzled_128x4_whole}) {
        for (int i = 0; i < 4; ++i) {
            const Weights w = random_weights(format, layout, draw, nan_rows, i >= 2, random);
            const Packed packed = pack(w, i % 2 == 0);
            expect_all_back(w, packed, seen);
            if (testing::Test::HasFatalFailure()) {
                ADD_FAILURE() << "E " << w.experts << ", N " << w.n << ", K " << w.k;
                return seen;
            }
        }
    }
    EXPECT_GT(seen.exact, 0);
    EXPECT_EQ(seen.nan_rows > 0, nan_rows > 0);
    return seen;
}

TEST(HopperPacking, EveryMxfp4WeightComesBack) {
    for (const int nan_rows : {0, 10}) {
        const Seen narrow = expect_all_back(WeightFormat::e2m1_ue8m0, Draw::narrow, nan_rows);
        EXPECT_EQ(narrow.small, 0);
        EXPECT_EQ(narrow.rebased, narrow.exact);
        EXPECT_EQ(expect_all_back(WeightFormat::e2m1_ue8m0, Draw::wide, nan_rows).small, 0);
    }
}

TEST(HopperPacking, EveryNvfp4WeightComesBack) {
    EXPECT_EQ(expect_all_back(WeightFormat::e2m1_ue4m3, Draw::any, 0).small, 0);
    EXPECT_EQ(expect_all_back(WeightFormat::e2m1_ue4m3, Draw::any, 10).small, 0);
}

TEST(HopperPacking, EveryMxfp8WeightComesBack) {
    const Seen narrow = expect_all_back(WeightFormat::e4m3_ue8m0, Draw::narrow, 0);
    EXPECT_EQ(narrow.small, 0);
    EXPECT_EQ(narrow.rebased, narrow.exact);
    EXPECT_EQ(expect_all_back(WeightFormat::e4m3_ue8m0, Draw::wide, 10).small, 0);
}

// Scales of all 254 binades in one row: what is a normal bf16 beside the largest is exact, and nothing is infinite.
TEST(HopperPacking, TheLargestOfARowOfAllScalesComeBack) {
    EXPECT_GT(expect_all_back(WeightFormat::e2m1_ue8m0, Draw::any, 10).small, 0);
    EXPECT_GT(expect_all_back(WeightFormat::e4m3_ue8m0, Draw::any, 10).small, 0);
}

TEST(HopperPacking, WritesEveryByteOfItsBlocksAndNoOther) {
    std::mt19937 random(2);
    for (const WeightFormat format : {WeightFormat::e2m1_ue8m0, WeightFormat::e2m1_ue4m3, WeightFormat::e4m3_ue8m0}) {
        const Weights w = random_weights(format, ScaleLayout::linear, Draw::narrow, 0, false, random);
        const Packed once = pack(w, true, 0xA5);
        const Packed again = pack(w, false, 0x5A);
        const std::int64_t used = w.experts * PackedShape::of(w.n, w.k).blocks() * block_of(format).bytes();
        EXPECT_TRUE(std::equal(once.bytes.begin(), once.bytes.begin() + used, again.bytes.begin()));
        EXPECT_TRUE(std::all_of(once.bytes.begin() + used, once.bytes.end(), [](auto byte) { return byte == 0xA5; }));
        EXPECT_EQ(once.row_factors, again.row_factors);
        EXPECT_EQ(once.rebased_factors == again.rebased_factors, w.is_ue8m0());  // the other has none
        EXPECT_EQ(std::count(once.row_factors.begin(), once.row_factors.end(), -1.0F), 0);
    }
}

// A change of the order without one of the provider's version would let old files of packed weights in. Where this
// fails, raise the version in src/providers/hopper/provider.cpp (from "2"), then put the new sums here.
TEST(HopperPacking, ItsOrderIsThatOfItsVersion) {
    std::vector<std::uint32_t> found;
    for (const WeightFormat format : {WeightFormat::e2m1_ue8m0, WeightFormat::e2m1_ue4m3, WeightFormat::e4m3_ue8m0}) {
        std::mt19937 random(3);
        Crc32 crc;
        for (const Draw draw : {Draw::narrow, Draw::wide, Draw::any}) {
            const Packed packed =
                pack(random_weights(format, ScaleLayout::swizzled_128x4, draw, 10, true, random), true);
            const auto add_word = [&](std::uint32_t word) {
                for (int i = 0; i < 4; ++i) {
                    crc.add(std::array<std::uint8_t, 1>{static_cast<std::uint8_t>(word >> (8 * i))});
                }
            };
            crc.add(packed.bytes);
            for (const float factor : packed.row_factors) {
                add_word(formats::float_bits(factor));
            }
            for (const float factor : packed.rebased_factors) {
                add_word(formats::float_bits(factor));
            }
            add_word(packed.not_rebasable);
        }
        found.push_back(crc.value());
    }
    const std::vector<std::uint32_t> expected{0x2D3328F8, 0x7821F0BC, 0xB7D2B4A1};
    EXPECT_EQ(found, expected);
    const PackedParts parts = packed_parts(WeightFormat::e2m1_ue8m0, 1, 64, 64);
    EXPECT_EQ(parts.blocks_end, 2176);
    EXPECT_EQ(parts.row_factors, 2304);
    EXPECT_EQ(parts.rebased_factors, 2560);
    EXPECT_EQ(parts.not_rebasable, 2816);
    EXPECT_EQ(parts.bytes, 2820);
}

}  // namespace
}  // namespace moegemm::hopper
