#include <moegemm/quantize.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/reference.hpp>

#include "op/expect_error.hpp"
#include "op/host_case.hpp"

namespace moegemm {
namespace {

using test::spec_of;
using test::throws_error;
using Floats = std::vector<float>;

constexpr auto invalid = ErrorCode::invalid_argument;

/// Roughly normal numbers whose size varies by row, as activations' do.
Floats random_matrix(std::mt19937_64& random, std::int64_t rows, std::int64_t columns) {
    Floats values;
    std::normal_distribution<float> normal;
    for (std::int64_t row = 0; row < rows; ++row) {
        const float size = std::ldexp(1.0F, static_cast<int>(random() % 7) - 3);
        for (std::int64_t column = 0; column < columns; ++column) {
            values.push_back(size * normal(random));
        }
    }
    return values;
}

/// Both operands of a problem, quantised, as tensors.
class Quantized {
public:
    Quantized(const Problem& problem, const Floats& a, const Floats& w)
        : problem_(problem),
          a_(quantize_tokens(problem, a)),
          w_(quantize_weights(problem.spec(), w)),
          alpha_(combine_alpha(problem.spec(), a_, w_)) {
        y_.resize(static_cast<std::size_t>(problem.rows() * problem.spec().n));
        m_indptr_.assign(problem.m_indptr().begin(), problem.m_indptr().end());
        for (const TensorSpec& tensor : tensor_specs(problem.spec(), problem.rows())) {
            EXPECT_EQ(static_cast<std::int64_t>(bytes_of(tensor.role)), tensor.bytes) << tensor.name;
            operands_[tensor.role] = Tensor(data_of(tensor.role), tensor.dtype, tensor.shape);
        }
        check_operands(problem.spec(), operands_, {kDLCPU, 0});
    }
    Quantized(const Quantized&) = delete;
    Quantized& operator=(const Quantized&) = delete;

    [[nodiscard]] HostOperandRows rows() const { return {problem_.spec(), operands_, problem_.m_indptr()}; }
    [[nodiscard]] const QuantizedOperand& a() const { return a_; }
    [[nodiscard]] const QuantizedOperand& w() const { return w_; }

    /// Element (row, k) of A as the number that it stands for, every factor included.
    [[nodiscard]] double token(std::int64_t row, std::int64_t expert, std::int64_t k) const {
        std::vector<double> values(static_cast<std::size_t>(problem_.spec().k));
        rows().a_row(row, expert, values);
        const double factor = a_.alpha.empty() ? 1.0 : static_cast<double>(a_.alpha[0]);
        return values[static_cast<std::size_t>(k)] * static_cast<double>(rows().token_scale(row)) * factor *
               block_scale(k, [&](std::span<double> scales) { rows().a_block_scales(row, expert, scales); });
    }
    [[nodiscard]] double weight(std::int64_t expert, std::int64_t n, std::int64_t k) const {
        std::vector<double> values(static_cast<std::size_t>(problem_.spec().k));
        rows().w_row(expert, n, values);
        const auto& factors = w_.alpha;
        const double factor =
            factors.empty()
                ? 1.0
                : static_cast<double>(factors[std::min(static_cast<std::size_t>(expert), factors.size() - 1)]);
        return values[static_cast<std::size_t>(k)] * static_cast<double>(rows().channel_scale(expert, n)) * factor *
               block_scale(k, [&](std::span<double> scales) { rows().w_block_scales(expert, n, scales); });
    }

private:
    /// The scale of k's block by what `read` fills in; 1 where the variant has no block scales.
    template <class Read>
    [[nodiscard]] double block_scale(std::int64_t k, const Read& read) const {
        if (problem_.spec().row().scaling != Scaling::block) {
            return 1.0;
        }
        std::vector<double> scales(static_cast<std::size_t>(problem_.spec().scale_columns()));
        read(scales);
        return scales[static_cast<std::size_t>(k / problem_.spec().row().scale_group)];
    }

    std::size_t bytes_of(Role role) const {
        switch (role) {
            case Role::a:
                return a_.values.size();
            case Role::w:
                return w_.values.size();
            case Role::a_scale:
                return a_.scales.size();
            case Role::w_scale:
                return w_.scales.size();
            case Role::alpha:
                return alpha_.size() * sizeof(float);
            case Role::m_indptr:
                return m_indptr_.size() * sizeof(std::int32_t);
            case Role::y:
                return y_.size() * sizeof(float);
        }
        return 0;
    }
    void* data_of(Role role) {
        switch (role) {
            case Role::a:
                return a_.values.data();
            case Role::w:
                return w_.values.data();
            case Role::a_scale:
                return a_.scales.data();
            case Role::w_scale:
                return w_.scales.data();
            case Role::alpha:
                return alpha_.data();
            case Role::m_indptr:
                return m_indptr_.data();
            case Role::y:
                return y_.data();
        }
        return nullptr;
    }

    Problem problem_;
    QuantizedOperand a_;
    QuantizedOperand w_;
    Floats alpha_;
    std::vector<std::int32_t> m_indptr_;
    Floats y_;
    Operands operands_;
};

/// The largest error of a number of `amax`'s block: half a step at the top of the element, and what the scale loses.
double error_bound(const GemmSpec& spec, DType dtype, double amax) {
    const bool power_of_two = spec.row().scaling == Scaling::group && spec.row().scale_dtype == DType::ue8m0;
    switch (dtype) {
        case DType::bf16:
            return amax * std::ldexp(1.0, -8);
        case DType::i8:
            return amax / 127.0 * 0.5001;
        case DType::e4m3:
            // steps of 1/14 of the top; a power of two may also cut off what lies between 448 and 512
            return amax * (power_of_two ? 64.0 / 512.0 : 1.0 / 27.9);
        case DType::e5m2:
            return amax * (power_of_two ? 8192.0 / 65536.0 : 1.0 / 13.9);
        default:
            // e2m1: steps of 2 below 6; ue4m3 scales are rounded, by up to 1/16
            return amax * (power_of_two ? 2.0 / 8.0 : 1.0 / 6.0 + 1.0 / 16.0);
    }
}

TEST(Quantize, DequantisedNumbersStayWithinTheirBlocksError) {
    std::mt19937_64 random(31);
    for (const VariantInfo& row : variants) {
        for (const bool e5m2 : {false, true}) {
            if (e5m2 && row.a != DType::e4m3) {
                continue;
            }
            GemmSpec spec = spec_of(row.id, 3, 10, 160);
            spec.a = e5m2 ? DType::e5m2 : row.a;
            const Problem problem = Problem::from(spec, {0, 4, 4, 9});
            const Floats a = random_matrix(random, 9, 160);
            const Floats w = random_matrix(random, 30, 160);
            const Quantized quantized(problem, a, w);
            // The whole operand's amax bounds each block's; per block it is tighter for what has block scales.
            const auto amax = [](const Floats& values, std::size_t first, std::size_t count) {
                double most = 0;
                for (std::size_t i = first; i < first + count; ++i) {
                    most = std::max(most, static_cast<double>(std::abs(values[i])));
                }
                return most;
            };
            const bool by_row = row.scaling == Scaling::token_channel;
            const bool by_group = row.scaling == Scaling::group;
            const auto block_amax = [&](const Floats& values, std::size_t i, bool scaled) {
                if (scaled && by_row) {
                    return amax(values, i / 160 * 160, 160);
                }
                if (scaled && by_group) {
                    const auto group = static_cast<std::size_t>(row.scale_group);
                    return amax(values, i / group * group, group);
                }
                return amax(values, 0, values.size());
            };
            for (std::int64_t r = 0; r < 9; ++r) {
                for (std::int64_t k = 0; k < 160; k += 7) {
                    const auto i = static_cast<std::size_t>(r * 160 + k);
                    ASSERT_NEAR(quantized.token(r, r < 4 ? 0 : 2, k), static_cast<double>(a[i]),
                                error_bound(spec, spec.a, block_amax(a, i, row.a_scaled)))
                        << row.name << " token " << r << ' ' << k;
                }
            }
            for (std::int64_t r = 0; r < 30; ++r) {
                for (std::int64_t k = 0; k < 160; k += 7) {
                    const auto i = static_cast<std::size_t>(r * 160 + k);
                    ASSERT_NEAR(quantized.weight(r / 10, r % 10, k), static_cast<double>(w[i]),
                                error_bound(spec, spec.w, block_amax(w, i, true)))
                        << row.name << " weight " << r << ' ' << k;
                }
            }
        }
    }
}

TEST(Quantize, TheProductIsCloseToTheProductOfTheMatrices) {
    std::mt19937_64 random(32);
    for (const VariantInfo& row : variants) {
        for (const ScaleLayout layout : row.layouts) {
            if (layout == ScaleLayout::none && row.layouts[0] != ScaleLayout::none) {
                continue;
            }
            GemmSpec spec = spec_of(row.id, 3, 140, 288);
            spec.scale_layout = layout;
            const Problem problem = Problem::from(spec, {0, 5, 5, 12});
            const Floats a = random_matrix(random, 12, 288);
            const Floats w = random_matrix(random, 3 * 140, 288);
            const Quantized quantized(problem, a, w);
            const std::vector<double> y = reference(problem, quantized.rows());
            double error = 0;
            double norm = 0;
            for (std::int64_t r = 0; r < 12; ++r) {
                const std::int64_t expert = r < 5 ? 0 : 2;
                for (std::int64_t n = 0; n < 140; ++n) {
                    double exact = 0;
                    for (std::int64_t k = 0; k < 288; ++k) {
                        exact += static_cast<double>(a[static_cast<std::size_t>(r * 288 + k)]) *
                                 static_cast<double>(w[static_cast<std::size_t>((expert * 140 + n) * 288 + k)]);
                    }
                    const double difference = y[static_cast<std::size_t>(r * 140 + n)] - exact;
                    error += difference * difference;
                    norm += exact * exact;
                }
            }
            const bool four_bit = spec.w == DType::e2m1x2;
            EXPECT_LT(std::sqrt(error / norm), four_bit               ? 0.2
                                               : row.w == DType::bf16 ? 0.005
                                                                      : 0.06)
                << row.name << ' ' << to_string(layout);
            EXPECT_GT(error, 0.0) << row.name;
        }
    }
}

/// The contract's storage formula, from its text.
std::int64_t swizzled_byte(std::int64_t r, std::int64_t c, std::int64_t columns) {
    const std::int64_t tiles_across = (columns + 3) / 4;
    return ((r / 128) * tiles_across + c / 4) * 512 + (r % 32) * 16 + ((r % 128) / 32) * 4 + (c % 4);
}

TEST(Quantize, ScalesLieWhereTheContractPutsThem) {
    // Row r's group c has amax 2^((r + 3·c) mod 40): its ue8m0 code tells where it came from.
    const GemmSpec spec = spec_of(Variant::mxfp8, 2, 130, 160);
    const std::vector<std::int32_t> m_indptr{0, 131, 140};
    const auto marked = [](std::int64_t rows) {
        Floats values(static_cast<std::size_t>(rows * 160));
        for (std::int64_t row = 0; row < rows; ++row) {
            for (std::int64_t column = 0; column < 5; ++column) {
                values[static_cast<std::size_t>(row * 160 + column * 32 + row % 32)] =
                    -std::ldexp(1.0F, static_cast<int>((row + 3 * column) % 40));
            }
        }
        return values;
    };
    const auto code = [](std::int64_t row, std::int64_t column) { return 127 - 8 + (row + 3 * column) % 40; };
    const QuantizedOperand a = quantize_tokens(Problem::from(spec, m_indptr), marked(140));
    const QuantizedOperand w = quantize_weights(spec, marked(260));
    ASSERT_EQ(a.scales.size(), 384U * 8U);  // 128·⌊(140 + 2·127)/128⌋ rows
    ASSERT_EQ(w.scales.size(), 2U * 256U * 8U);
    for (std::int64_t row = 0; row < 140; ++row) {
        for (std::int64_t column = 0; column < 5; ++column) {
            // Expert 1's first row, 131, is stored from row 128·⌊(131 + 127)/128⌋ = 256 on.
            const std::int64_t at =
                row < 131 ? swizzled_byte(row, column, 5) : 256 * 8 + swizzled_byte(row - 131, column, 5);
            EXPECT_EQ(a.scales[static_cast<std::size_t>(at)], code(row, column)) << row << ' ' << column;
        }
    }
    for (std::int64_t row = 0; row < 260; ++row) {
        for (std::int64_t column = 0; column < 5; ++column) {
            const std::int64_t at = row / 130 * 256 * 8 + swizzled_byte(row % 130, column, 5);
            EXPECT_EQ(w.scales[static_cast<std::size_t>(at)], code(row, column)) << row << ' ' << column;
        }
    }
    EXPECT_EQ(std::ranges::count(a.scales, 0), 384 * 8 - 140 * 5);
    EXPECT_EQ(std::ranges::count(w.scales, 0), 2 * 256 * 8 - 260 * 5);
}

TEST(Quantize, BlocksOfWeightsShareAScale) {
    GemmSpec spec = spec_of(Variant::fp8_block, 2, 130, 200);
    Floats w(2 * 130 * 200, 1.0F);
    w[(130 + 129) * 200 + 199] = -448.0F * 4;  // expert 1, block row 1, block column 1
    for (const ScaleLayout layout : spec.row().layouts) {
        if (layout == ScaleLayout::none) {
            continue;
        }
        spec.scale_layout = layout;
        const QuantizedOperand quantized = quantize_weights(spec, w);
        std::vector<float> scales(8);
        ASSERT_EQ(quantized.scales.size(), 32U);
        std::memcpy(scales.data(), quantized.scales.data(), 32);
        EXPECT_EQ(scales.back(), 4.0F);
        EXPECT_EQ(std::ranges::count(scales, 1.0F / 448.0F), 7);
    }
}

TEST(Quantize, KnownCodes) {
    const Problem problem = Problem::from(spec_of(Variant::mxfp4_a4, 1, 1, 32), {0, 1});
    Floats a(32);
    a[0] = 6.0F;
    a[1] = -0.5F;
    a[2] = 7.0F;  // floor(log2 7) − 2 = 0: saturates to 6
    const QuantizedOperand quantized = quantize_tokens(problem, a);
    EXPECT_EQ(quantized.values[0], 0x97);
    EXPECT_EQ(quantized.values[1], 0x07);
    EXPECT_EQ(quantized.scales[0], 127);
    EXPECT_TRUE(quantized.alpha.empty());
}

TEST(Quantize, ZerosHaveScaleOne) {
    for (const VariantInfo& row : variants) {
        const GemmSpec spec = spec_of(row.id, 2, 3, 64);
        const Problem problem = Problem::from(spec, {0, 1, 2});
        const Quantized quantized(problem, Floats(2 * 64), Floats(2 * 3 * 64));
        EXPECT_TRUE(std::ranges::all_of(quantized.a().values, [](std::uint8_t byte) { return byte == 0; }));
        EXPECT_EQ(quantized.rows().token_scale(0), 1.0F);
        EXPECT_EQ(quantized.rows().channel_scale(1, 2), 1.0F);
        EXPECT_TRUE(std::ranges::all_of(quantized.w().alpha, [](float factor) { return factor == 1.0F; }));
        if (row.scaling == Scaling::group) {
            EXPECT_EQ(quantized.w().scales[0], row.scale_dtype == DType::ue8m0 ? 127 : 0x38) << row.name;
        }
    }
}

TEST(Quantize, TinyAndHugeNumbersKeepFiniteScales) {
    constexpr float tiny = std::numeric_limits<float>::denorm_min();
    constexpr float huge = std::numeric_limits<float>::max();
    for (const VariantInfo& row : variants) {
        for (const float size : {tiny, huge / 2}) {
            const Problem problem = Problem::from(spec_of(row.id, 1, 2, 32), {0, 1});
            Floats a(32, size);
            a[5] = -size;
            const Quantized quantized(problem, a, Floats(64, size));
            for (std::int64_t k = 0; k < 32; ++k) {
                EXPECT_TRUE(std::isfinite(quantized.token(0, 0, k))) << row.name << ' ' << size;
                EXPECT_TRUE(std::isfinite(quantized.weight(0, 1, k))) << row.name << ' ' << size;
            }
        }
    }
}

TEST(Quantize, WithoutAlphaTheFactorIsOne) {
    std::mt19937_64 random(33);
    for (const Variant variant : {Variant::fp8, Variant::nvfp4, Variant::nvfp4_a16}) {
        GemmSpec spec = spec_of(variant, 2, 5, 64);
        spec.has_alpha = false;
        const Problem problem = Problem::from(spec, {0, 1, 3});
        const Quantized quantized(problem, random_matrix(random, 3, 64), random_matrix(random, 10, 64));
        EXPECT_TRUE(quantized.a().alpha.empty());
        EXPECT_TRUE(quantized.w().alpha.empty());
        EXPECT_TRUE(combine_alpha(spec, quantized.a(), quantized.w()).empty());
    }
}

TEST(Quantize, AlphaIsTheProductOfBothFactors) {
    std::mt19937_64 random(34);
    const Floats a = random_matrix(random, 3, 64);
    const Floats w = random_matrix(random, 10, 64);
    const auto alpha_of = [&](Variant variant) {
        const GemmSpec spec = spec_of(variant, 2, 5, 64);
        const Problem problem = Problem::from(spec, {0, 1, 3});
        return combine_alpha(spec, quantize_tokens(problem, a), quantize_weights(spec, w));
    };
    const auto amax = [](auto begin, auto end) {
        float most = 0;
        for (; begin != end; ++begin) {
            most = std::max(most, std::abs(*begin));
        }
        return most;
    };
    const float a_amax = amax(a.begin(), a.end());
    EXPECT_EQ(alpha_of(Variant::fp8), Floats{a_amax / 448.0F * (amax(w.begin(), w.end()) / 448.0F)});
    const Floats w_factors{amax(w.begin(), w.begin() + 320) / 2688.0F, amax(w.begin() + 320, w.end()) / 2688.0F};
    EXPECT_EQ(alpha_of(Variant::nvfp4_a16), w_factors);
    EXPECT_EQ(alpha_of(Variant::nvfp4), (Floats{w_factors[0] * (a_amax / 2688.0F), w_factors[1] * (a_amax / 2688.0F)}));
    EXPECT_TRUE(alpha_of(Variant::mxfp8).empty());
}

TEST(QuantizeBadInput, SizeOfTokens) {
    const Problem problem = Problem::from(spec_of(Variant::int8, 1, 2, 32), {0, 3});
    EXPECT_TRUE(throws_error(invalid, "scatter_tokens", "95 values", "96 values",
                             [&] { (void)quantize_tokens(problem, Floats(95)); }));
}

TEST(QuantizeBadInput, SizeOfWeights) {
    EXPECT_TRUE(throws_error(invalid, "experts_weight", "65 values", "64 values",
                             [] { (void)quantize_weights(spec_of(Variant::int8, 1, 2, 32), Floats(65)); }));
}

TEST(QuantizeBadInput, NanInTokens) {
    const Problem problem = Problem::from(spec_of(Variant::bf16, 1, 2, 32), {0, 3});
    Floats a(96, 1.0F);
    a[40] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(throws_error(invalid, "scatter_tokens", "nan at index 40", "finite",
                             [&] { (void)quantize_tokens(problem, a); }));
}

TEST(QuantizeBadInput, InfinityInWeights) {
    Floats w(64, 1.0F);
    w[63] = -std::numeric_limits<float>::infinity();
    EXPECT_TRUE(throws_error(invalid, "experts_weight", "-inf at index 63", "finite",
                             [&] { (void)quantize_weights(spec_of(Variant::mxfp4, 1, 2, 32), w); }));
}

TEST(QuantizeBadInput, SpecOfTheWeights) {
    EXPECT_TRUE(throws_error(invalid, "hidden_size", "33", "a multiple of 32",
                             [] { (void)quantize_weights(spec_of(Variant::mxfp4, 1, 2, 33), Floats(66)); }));
}

}  // namespace
}  // namespace moegemm
