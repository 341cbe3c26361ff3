// ue8m0 scales far out: products that f32 holds although their factors leave it.
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "providers/cpu/call.hpp"

namespace moegemm::test {
namespace {

/// Small: the exact route is slow, and the sanitizers' builds take it too.
CallOptions small_options() {
    CallOptions options;
    options.most_experts = 4;
    options.most_rows = 20;
    options.most_n = 90;
    options.most_k = 300;
    return options;
}

constexpr Variant mx_variants[] = {Variant::mxfp8, Variant::mxfp4, Variant::mxfp4_a4, Variant::mxfp4_a16};

/// A call whose scales are `a_scale` and `w_scale` of (row, group), in linear layout.
template <class AScale, class WScale>
Call scaled_call(Variant variant, DType a, DType w, std::uint64_t seed, AScale a_scale, WScale w_scale) {
    std::mt19937_64 random(seed);
    Problem drawn = random_problem(variant, random, small_options());
    GemmSpec spec = drawn.spec();
    spec.a = a;
    spec.w = w;
    spec.dst = DType::f32;
    spec.scale_layout = ScaleLayout::linear;
    Call call(Problem::from(spec, {drawn.m_indptr().begin(), drawn.m_indptr().end()}), random);
    const std::int64_t columns = spec.scale_columns();
    if (std::uint8_t* scale = call.bytes(Role::a_scale)) {
        for (std::int64_t i = 0; i < call.problem().rows() * columns; ++i) {
            scale[i] = a_scale(i / columns, i % columns);
        }
    }
    std::uint8_t* scale = call.bytes(Role::w_scale);
    for (std::int64_t i = 0; i < spec.experts * spec.n * columns; ++i) {
        scale[i] = w_scale(i / columns % spec.n, i % columns);
    }
    return call;
}

void expect_on_all_families(const Call& call) {
    const Call::Expected expected = call.expected();
    for (const std::string& kernel : testable_kernels()) {
        std::vector<std::uint8_t> packed = run_cpu(call, {kernel, 2, true});
        const RunOptions run{kernel, 3, false};
        ASSERT_TRUE(packed == run_cpu(call, run)) << describe(call.problem(), run);
        expect_conforms(packed, DType::f32, call.spec().n, expected.y, expected.magnitude, tolerance_of(DType::f32),
                        describe(call.problem(), run));
    }
}

TEST(CpuExactRoute, LargeTimesSmall) {
    for (const Variant variant : mx_variants) {
        const VariantInfo& row = info(variant);
        if (!row.a_scaled) {
            continue;
        }
        for (const DType a : {row.a, row.a == DType::e4m3 ? DType::e5m2 : row.a}) {
            for (std::uint64_t seed = 0; seed < 5; ++seed) {
                // 2^120 and 2^-120 on either side, 2^127 with 2^-127 in between.
                expect_on_all_families(scaled_call(
                    variant, a, row.w, seed, [](auto, auto) { return std::uint8_t{247}; },
                    [](auto, auto) { return std::uint8_t{7}; }));
                expect_on_all_families(scaled_call(
                    variant, a, row.w, seed, [](auto, auto) { return std::uint8_t{7}; },
                    [](auto, auto) { return std::uint8_t{247}; }));
                expect_on_all_families(scaled_call(
                    variant, a, row.w, seed,
                    [](auto, auto g) { return static_cast<std::uint8_t>(g % 2 == 0 ? 254 : 0); },
                    [](auto, auto g) { return static_cast<std::uint8_t>(g % 2 == 0 ? 0 : 254); }));
            }
        }
    }
}

/// Each row and each column has an exponent of its own, all the range over; results overflow, vanish, or are ordinary.
/// One call of f32 sums is inexact near its smallest numbers, so rows of nothing larger are left out by the magnitude.
TEST(CpuExactRoute, MixedRowsAndColumns) {
    for (const Variant variant : mx_variants) {
        const VariantInfo& row = info(variant);
        for (std::uint64_t seed = 0; seed < 8; ++seed) {
            const auto exponent_of = [seed](std::int64_t i) {
                return static_cast<std::uint8_t>((static_cast<std::uint64_t>(i) * 97 + seed * 13) % 255);
            };
            // The mirror image of the row's exponent a little off: products of ordinary size next to extreme ones.
            const bool a_scaled = row.a_scaled;
            expect_on_all_families(scaled_call(
                variant, row.a, row.w, seed, [&](auto i, auto) { return exponent_of(i % 5); },
                [&](auto n, auto) {
                    return a_scaled ? static_cast<std::uint8_t>(254 - exponent_of(n % 5))
                                    : static_cast<std::uint8_t>(100 + n % 155);
                }));
        }
    }
}

TEST(CpuExactRoute, NanScalesStayNan) {
    for (const Variant variant : {Variant::mxfp8, Variant::mxfp4, Variant::mxfp4_a4}) {
        const VariantInfo& row = info(variant);
        for (std::uint64_t seed = 0; seed < 4; ++seed) {
            expect_on_all_families(scaled_call(
                variant, row.a, row.w, seed,
                [](auto i, auto g) {
                    return static_cast<std::uint8_t>(i == 0 && g == 0 ? 255 : i % 2 == 0 ? 250 : 5);
                },
                [](auto n, auto) {
                    return static_cast<std::uint8_t>(n % 7 == 3 ? 255 : n % 3 == 0 ? 4 : 128);
                }));
        }
    }
}

TEST(CpuExactRoute, BlockScalesWhoseProductLeavesF32) {
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
        std::mt19937_64 random(seed);
        Problem drawn = random_problem(Variant::fp8_block, random, small_options());
        GemmSpec spec = drawn.spec();
        spec.dst = DType::f32;
        spec.a = spec.w = DType::e4m3;
        const Call call(Problem::from(spec, {drawn.m_indptr().begin(), drawn.m_indptr().end()}), random);
        const auto set_all = [&](Role role, float value) {
            for (std::int64_t i = 0; i < call.operands()[role].elements(); ++i) {
                std::memcpy(call.bytes(role) + 4 * i, &value, sizeof value);
            }
        };
        // Both factors large: infinities; one large and one small: ordinary; both small: near f32's end, or below it.
        for (const auto& [a, w] :
             {std::pair{0x1.8p100F, 0x1.4p-90F}, std::pair{0x1.8p70F, 0x1.4p60F}, std::pair{0x1p-140F, 0x1.4p120F},
              std::pair{0x1p-70F, 0x1.4p-45F}, std::pair{-0x1p-100F, 0x1p-100F}}) {
            set_all(Role::a_scale, a);
            set_all(Role::w_scale, w);
            expect_on_all_families(call);
        }
    }
}

}  // namespace
}  // namespace moegemm::test
