#include <moegemm/reference.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/error.hpp>
#include <moegemm/formats/formats.hpp>

#include "op/decode.hpp"
#include "op/dot.hpp"
#include "op/host_case.hpp"

namespace moegemm {
namespace {

using test::HostCase;
using test::spec_of;

/// An element of A or W and its scale, decoded one by one: nothing of the reference's own code.
double number(const GemmSpec& spec, DType dtype, const Tensor& tensor, std::int64_t row, std::int64_t k) {
    const auto* const bytes = tensor.as<const std::uint8_t>();
    const auto index = static_cast<std::size_t>(row * spec.k + k);
    switch (dtype) {
        case DType::bf16:
            return static_cast<double>(formats::Bf16::decode(tensor.as<const std::uint16_t>()[index]));
        case DType::i8:
            return tensor.as<const std::int8_t>()[index];
        case DType::e4m3:
            return static_cast<double>(formats::E4m3::decode(bytes[index]));
        case DType::e5m2:
            return static_cast<double>(formats::E5m2::decode(bytes[index]));
        default:
            return static_cast<double>(
                formats::E2m1::decode(static_cast<std::uint8_t>(bytes[index / 2] >> (index % 2 * 4))));
    }
}

double group_scale(const GemmSpec& spec, const Tensor& tensor, std::int64_t index) {
    const std::uint8_t code = tensor.as<const std::uint8_t>()[index];
    return static_cast<double>(spec.row().scale_dtype == DType::ue8m0 ? formats::Ue8m0::decode(code)
                                                                      : formats::Ue4m3::decode(code));
}

/// The contract's formula, one element of y, with long double sums.
long double formula(HostCase& host, std::int64_t row, std::int64_t expert, std::int64_t n) {
    const GemmSpec& spec = host.spec();
    const Operands& operands = host.operands();
    const std::int64_t first_row = host.problem().m_indptr()[static_cast<std::size_t>(expert)];
    const std::int64_t columns = spec.scale_columns();
    long double sum = 0;
    for (std::int64_t k = 0; k < spec.k; ++k) {
        long double product = static_cast<long double>(number(spec, spec.a, operands.a, row, k)) *
                              static_cast<long double>(number(spec, spec.w, operands.w, expert * spec.n + n, k));
        if (spec.row().scaling == Scaling::group) {
            const std::int64_t column = k / spec.row().scale_group;
            if (spec.row().a_scaled) {
                product *= group_scale(spec, operands.a_scale,
                                       scales::a_scale_index(spec.scale_layout, row, column, expert, first_row,
                                                             host.problem().rows(), columns));
            }
            product *= group_scale(spec, operands.w_scale,
                                   scales::w_scale_index(spec.scale_layout, expert, n, column, spec.n, columns));
        }
        if (spec.row().scaling == Scaling::block) {
            const bool mn_major = spec.scale_layout == ScaleLayout::mn_major;
            const std::int64_t kb = k / 128;
            const std::int64_t blocks = (spec.n + 127) / 128;
            const std::int64_t a_index = mn_major ? kb * host.problem().rows() + row : row * columns + kb;
            const std::int64_t w_index =
                mn_major ? (expert * columns + kb) * blocks + n / 128 : (expert * blocks + n / 128) * columns + kb;
            product *= static_cast<long double>(operands.a_scale.as<const float>()[a_index]);
            product *= static_cast<long double>(operands.w_scale.as<const float>()[w_index]);
        }
        sum += product;
    }
    if (spec.row().scaling == Scaling::token_channel) {
        sum *= static_cast<long double>(operands.a_scale.as<const float>()[row]);
        sum *= static_cast<long double>(operands.w_scale.as<const float>()[expert * spec.n + n]);
    }
    if (spec.has_alpha) {
        sum *=
            static_cast<long double>(operands.alpha.as<const float>()[spec.row().alpha == Alpha::expert ? expert : 0]);
    }
    return sum;
}

void expect_formula(HostCase& host) {
    const GemmSpec& spec = host.spec();
    const HostOperandRows rows(spec, host.operands(), host.problem().m_indptr());
    const std::vector<double> y = reference(host.problem(), rows);
    ASSERT_EQ(y.size(), static_cast<std::size_t>(host.problem().rows() * spec.n));
    const double tolerance = spec.variant == Variant::int8 ? std::ldexp(1.0, -22) : 1e-13;
    std::vector<Element> elements;
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        const std::int64_t first_row = host.problem().m_indptr()[static_cast<std::size_t>(expert)];
        const std::int64_t end_row = first_row + host.problem().rows_of(expert);
        for (std::int64_t n = 0; n < spec.n; ++n) {
            for (std::int64_t row = first_row; row < end_row; ++row) {
                elements.push_back({row, expert, n});
                const auto expected = static_cast<double>(formula(host, row, expert, n));
                // Cancelling sums lose digits relative to their terms, which stay below this.
                ASSERT_NEAR(y[static_cast<std::size_t>(row * spec.n + n)], expected,
                            tolerance * (std::abs(expected) + static_cast<double>(spec.k)))
                    << spec.row().name << ' ' << row << ' ' << n;
            }
        }
    }
    std::vector<double> chosen(elements.size());
    reference_elements(spec, rows, elements, chosen);
    for (std::size_t i = 0; i < elements.size(); ++i) {
        ASSERT_EQ(chosen[i], y[static_cast<std::size_t>(elements[i].row * spec.n + elements[i].column)]);
    }
}

TEST(Reference, FollowsTheFormulaOfEveryVariantAndLayout) {
    std::mt19937_64 random(21);
    for (const VariantInfo& row : variants) {
        for (const ScaleLayout layout : row.layouts) {
            if (layout == ScaleLayout::none && row.layouts[0] != ScaleLayout::none) {
                continue;
            }
            GemmSpec spec = spec_of(row.id, 4, 133, row.k_granularity == 1 ? 145 : 160);
            spec.scale_layout = layout;
            HostCase host(Problem::from(spec, test::random_m_indptr(random, 4, 9)), random());
            expect_formula(host);
        }
    }
}

TEST(Reference, TakesE5m2OnEitherSide) {
    std::mt19937_64 random(22);
    for (const Variant variant : {Variant::fp8, Variant::fp8_token, Variant::fp8_block, Variant::mxfp8}) {
        for (const bool both : {false, true}) {
            GemmSpec spec = spec_of(variant, 3, 9, 64);
            spec.w = DType::e5m2;
            spec.a = both ? DType::e5m2 : DType::e4m3;
            HostCase host(Problem::from(spec, {0, 2, 2, 5}), random());
            // Products of two e5m2 reach 2^31, far above the depth that bounds the error of other sums.
            const HostOperandRows rows(host.spec(), host.operands(), host.problem().m_indptr());
            const std::vector<double> y = reference(host.problem(), rows);
            for (std::int64_t row = 0; row < 5; ++row) {
                for (std::int64_t n = 0; n < 9; ++n) {
                    const auto expected = static_cast<double>(formula(host, row, row < 2 ? 0 : 2, n));
                    EXPECT_NEAR(y[static_cast<std::size_t>(row * 9 + n)], expected, 1e-12 * std::ldexp(1.0, 31));
                }
            }
        }
    }
}

TEST(Reference, AnInfiniteBlockScaleMultipliesTheBlocksSum) {
    // A scale belongs to a block's sum: ∞ · (0·w + a·w) is ±∞, not the NaN that ∞ · 0 inside the sum would be.
    GemmSpec spec = spec_of(Variant::fp8_block, 1, 1, 256);
    HostCase host(Problem::from(spec, {0, 2}), 5);
    auto* const a = host.operands().a.as<std::uint8_t>();
    auto* const w = host.operands().w.as<std::uint8_t>();
    std::fill(a, a + 2 * 256, std::uint8_t{0});
    std::fill(w, w + 256, formats::E4m3::encode(1.0F));
    a[3] = formats::E4m3::encode(-2.0F);  // row 0: the first block's sum is −2; row 1: both are 0
    std::fill_n(host.operands().a_scale.as<float>(), 4, 1.0F);
    host.operands().w_scale.as<float>()[0] = std::numeric_limits<float>::infinity();
    host.operands().w_scale.as<float>()[1] = 1.0F;
    const auto y = reference(host.problem(), HostOperandRows(spec, host.operands(), host.problem().m_indptr()));
    EXPECT_EQ(y[0], -std::numeric_limits<double>::infinity());
    EXPECT_TRUE(std::isnan(y[1]));
}

TEST(Reference, WithoutAlphaTheFactorIsOne) {
    for (const Variant variant : {Variant::fp8, Variant::nvfp4, Variant::nvfp4_a16}) {
        GemmSpec spec = spec_of(variant, 2, 5, 32);
        spec.has_alpha = false;
        HostCase host(Problem::from(spec, {0, 1, 3}), 4);
        expect_formula(host);
    }
}

TEST(Reference, Int8SumsAreExactAndScaledInFloat32) {
    // 131071 products of (−128)², which no float32 accumulator holds, then −1 · 1 to make the last bit count.
    const GemmSpec spec = spec_of(Variant::int8, 1, 1, 131071);
    HostCase host(Problem::from(spec, {0, 1}), 1);
    auto* const a = host.operands().a.as<std::int8_t>();
    auto* const w = host.operands().w.as<std::int8_t>();
    std::fill(a, a + spec.k, std::int8_t{-128});
    std::fill(w, w + spec.k, std::int8_t{-128});
    a[77] = -1;
    w[77] = 1;
    host.operands().a_scale.as<float>()[0] = 0.1F;
    host.operands().w_scale.as<float>()[0] = 0.3F;
    const std::int64_t sum = 131070LL * 16384 - 1;
    const float first = static_cast<float>(sum) * 0.1F;
    const float expected = first * 0.3F;
    const auto y = reference(host.problem(), HostOperandRows(spec, host.operands(), host.problem().m_indptr()));
    EXPECT_EQ(y[0], static_cast<double>(expected));
}

TEST(Reference, NanAndInfinityPropagateToTheirOwnElementsOnly) {
    const GemmSpec spec = spec_of(Variant::bf16, 2, 3, 40);
    HostCase host(Problem::from(spec, {0, 2, 4}), 9);
    auto* const a = host.operands().a.as<std::uint16_t>();
    auto* const w = host.operands().w.as<std::uint16_t>();
    a[1 * 40 + 7] = formats::Bf16::nan;
    w[(3 + 2) * 40 + 9] = formats::Bf16::infinity;
    a[2 * 40 + 9] = 0;       // 0·∞ is NaN
    a[3 * 40 + 9] = 0xBF80;  // −1·∞
    const auto y = reference(host.problem(), HostOperandRows(spec, host.operands(), host.problem().m_indptr()));
    for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t row = i / 3;
        const std::size_t n = i % 3;
        if (row == 1 || (row == 2 && n == 2)) {
            EXPECT_TRUE(std::isnan(y[i])) << i;
        } else if (row == 3 && n == 2) {
            EXPECT_EQ(y[i], -std::numeric_limits<double>::infinity());
        } else {
            EXPECT_TRUE(std::isfinite(y[i])) << i;
        }
    }
}

TEST(Reference, NanScalesReachTheirGroupsRowsOnly) {
    const GemmSpec spec = spec_of(Variant::mxfp8, 1, 3, 96);
    HostCase host(Problem::from(spec, {0, 4}), 9);
    host.operands().a_scale.as<std::uint8_t>()[scales::swizzled_offset(2, 1, 3)] = formats::Ue8m0::nan;
    const auto y = reference(host.problem(), HostOperandRows(spec, host.operands(), host.problem().m_indptr()));
    for (std::size_t i = 0; i < y.size(); ++i) {
        EXPECT_EQ(std::isnan(y[i]), i / 3 == 2) << i;
    }
}

TEST(Reference, WeightsOfAnEmptyExpertAndPaddingNeverReachY) {
    const GemmSpec spec = spec_of(Variant::nvfp4, 3, 130, 80);
    HostCase host(Problem::from(spec, {0, 4, 4, 9}), 12);
    const auto rows = [&] { return HostOperandRows(spec, host.operands(), host.problem().m_indptr()); };
    const auto before = reference(host.problem(), rows());
    std::vector<bool> used(static_cast<std::size_t>(host.operands().w_scale.bytes()));
    for (const std::int64_t expert : {0, 2}) {
        for (std::int64_t n = 0; n < spec.n; ++n) {
            for (std::int64_t column = 0; column < 5; ++column) {
                used[static_cast<std::size_t>(scales::w_scale_index(spec.scale_layout, expert, n, column, spec.n, 5))] =
                    true;
            }
        }
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
        if (!used[i]) {
            host.operands().w_scale.as<std::uint8_t>()[i] = formats::Ue4m3::nan;
        }
    }
    auto* const weights = host.operands().w.as<std::uint8_t>();
    std::fill(weights + 130 * 40, weights + 2 * 130 * 40, std::uint8_t{0x77});
    EXPECT_EQ(reference(host.problem(), rows()), before);
}

TEST(Dot, AddsEverySize) {
    std::mt19937_64 random(3);
    for (std::size_t size = 0; size < 70; ++size) {
        std::vector<double> left(size);
        std::vector<double> right(size);
        double expected = 0;
        for (std::size_t i = 0; i < size; ++i) {
            left[i] = static_cast<double>(random() % 2001) - 1000;
            right[i] = static_cast<double>(random() % 2001) - 1000;
            expected += left[i] * right[i];  // whole numbers: exact in any order
        }
        EXPECT_EQ(dot(left, right), expected) << size;
    }
}

TEST(Decode, EveryStoredType) {
    std::vector<double> values(2);
    const std::uint8_t nibbles = 0xF1;
    decode(DType::e2m1x2, &nibbles, values);
    EXPECT_EQ(values, (std::vector<double>{0.5, -6.0}));
    const std::vector<std::uint8_t> codes{0x7E, 0x80};
    decode(DType::e4m3, codes.data(), values);
    EXPECT_EQ(values, (std::vector<double>{448.0, -0.0}));
    decode(DType::i8, codes.data(), values);
    EXPECT_EQ(values, (std::vector<double>{126.0, -128.0}));
    decode(DType::ue8m0, codes.data(), values);
    EXPECT_EQ(values, (std::vector<double>{0.5, 2.0}));
    decode(DType::ue4m3, codes.data(), values);
    EXPECT_EQ(values, (std::vector<double>{448.0, 0.0}));
    decode(DType::e5m2, codes.data(), values);
    EXPECT_TRUE(std::isnan(values[0]));
    const std::vector<std::uint16_t> halves{0x3C00, 0xC000};
    decode(DType::f16, halves.data(), values);
    EXPECT_EQ(values, (std::vector<double>{1.0, -2.0}));
    decode(DType::bf16, halves.data(), values);
    EXPECT_EQ(values, (std::vector<double>{0.0078125, -2.0}));
    const std::vector<float> floats{0.1F, -3.5F};
    decode(DType::f32, floats.data(), values);
    EXPECT_EQ(values, (std::vector<double>{static_cast<double>(0.1F), -3.5}));
    EXPECT_THROW(decode(DType::i32, floats.data(), values), Error);
}

}  // namespace
}  // namespace moegemm
