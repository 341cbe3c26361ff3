// The reference as a provider: y is the float64 reference, rounded once.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include <moegemm/formats/formats.hpp>
#include <moegemm/reference.hpp>

#include "op/expect_error.hpp"
#include "provider/random_call.hpp"
#include "providers/reference/provider.hpp"
#include "providers/reference/round.hpp"

namespace moegemm::test {
namespace {

double element(const Tensor& y, std::int64_t index) {
    switch (y.dtype()) {
        case DType::bf16:
            return static_cast<double>(formats::Bf16::decode(y.as<std::uint16_t>()[index]));
        case DType::f16:
            return static_cast<double>(formats::F16::decode(y.as<std::uint16_t>()[index]));
        default:
            return static_cast<double>(y.as<float>()[index]);
    }
}

/// Half a unit in the last place of a number of this magnitude.
double half_ulp(DType dst, double value) {
    const int mantissa_bits = dst == DType::bf16 ? 7 : dst == DType::f16 ? 10 : 23;
    const int smallest = dst == DType::f16 ? -14 : -126;
    return std::ldexp(0.5, std::max(std::ilogb(value), smallest) - mantissa_bits);
}

TEST(ReferenceProvider, IsTheReferenceRoundedOnce) {
    const auto provider = make_reference_provider();
    std::mt19937 generator(7);
    for (unsigned i = 0; i < 110; ++i) {
        const Problem problem = random_problem(variants[i % variants.size()].id, generator);
        RandomCall call(problem, i);
        ASSERT_TRUE(provider->supports(problem.spec()).supported);
        provider->plan(problem.spec(), {})->run(call.operands);
        ASSERT_TRUE(call.guards_intact());
        const auto expected = reference(problem, HostOperandRows(problem.spec(), call.operands, problem.m_indptr()));
        const double largest = problem.spec().dst == DType::f16 ? 65520.0 : std::numeric_limits<double>::infinity();
        for (std::size_t j = 0; j < expected.size(); ++j) {
            const double actual = element(call.operands.y, static_cast<std::int64_t>(j));
            if (std::fabs(expected[j]) >= largest) {
                ASSERT_EQ(actual, std::copysign(std::numeric_limits<double>::infinity(), expected[j]));
            } else if (expected[j] == 0) {
                ASSERT_EQ(actual, 0);
            } else {
                ASSERT_LE(std::fabs(actual - expected[j]), half_ulp(problem.spec().dst, expected[j]));
            }
        }
    }
}

TEST(ReferenceProvider, OffersEverything) {
    const auto provider = make_reference_provider();
    EXPECT_EQ(provider->info().name, "reference");
    for (const VariantSupport& support : provider->info().support) {
        EXPECT_TRUE(support.offered);
        EXPECT_EQ(support.accumulation, Accumulation::fp32);
        EXPECT_EQ(support.scale_range, ScaleRange::full);
    }
}

TEST(ReferenceProvider, ChecksItsOptions) {
    const auto provider = make_reference_provider();
    const GemmSpec spec = small_problem(Variant::bf16).spec();
    const auto plan_with = [&](PlanOptions options) { return [&, options] { (void)provider->plan(spec, options); }; };
    PlanOptions device;
    device.device = {kDLCUDA, 0};
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "device", "2", "the CPU", plan_with(device)));
    PlanOptions threads;
    threads.threads = -1;
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "threads", "-1", "0 or more", plan_with(threads)));
    PlanOptions kernel;
    kernel.kernel = "avx1024";
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "kernel", "avx1024", "float64", plan_with(kernel)));
}

TEST(ReferenceProvider, NanAndInfinityPropagate) {
    const auto provider = make_reference_provider();
    for (const DType dst : {DType::bf16, DType::f16, DType::f32}) {
        RandomCall call(small_problem(Variant::bf16, dst), 3);
        const std::int64_t k = call.problem.spec().k;
        const std::int64_t n = call.problem.spec().n;
        call.operands.a.as<std::uint16_t>()[0 * k] = formats::Bf16::nan;
        call.operands.a.as<std::uint16_t>()[1 * k + 5] = formats::Bf16::infinity;
        auto* w = call.operands.w.as<std::uint16_t>();
        w[0 * k + 5] = 0;                          // infinity times zero
        w[1 * k + 5] = formats::Bf16::encode(-1);  // expert 0, column 1
        provider->plan(call.problem.spec(), {})->run(call.operands);
        for (std::int64_t column = 0; column < n; ++column) {
            EXPECT_TRUE(std::isnan(element(call.operands.y, column)));
            EXPECT_TRUE(std::isfinite(element(call.operands.y, 2 * n + column)));
        }
        EXPECT_TRUE(std::isnan(element(call.operands.y, n)));
        EXPECT_EQ(element(call.operands.y, n + 1), -std::numeric_limits<double>::infinity());
    }
}

/// Every code of a 16-bit format against its upper neighbour: between them, just below, at and just above the middle.
template <class Format, class Round>
void check_rounding(Round round) {
    for (std::uint32_t code = 0; code < Format::infinity; ++code) {
        const auto lower = static_cast<double>(Format::decode(static_cast<std::uint16_t>(code)));
        // The step above the largest number is as wide as the one below it: what infinity stands for in rounding.
        const double upper =
            code + 1 < Format::infinity
                ? static_cast<double>(Format::decode(static_cast<std::uint16_t>(code + 1)))
                : 2 * lower - static_cast<double>(Format::decode(static_cast<std::uint16_t>(code - 1)));
        const double middle = lower + (upper - lower) / 2;
        const std::uint32_t even = code % 2 == 0 ? code : code + 1;
        const double below = std::nextafter(middle, 0.0);
        const double above = std::nextafter(middle, std::numeric_limits<double>::infinity());
        for (const std::uint32_t sign : {0U, 0x8000U}) {
            const double factor = sign == 0 ? 1.0 : -1.0;
            ASSERT_EQ(round(factor * lower), sign | code);
            ASSERT_EQ(round(factor * middle), sign | even) << code;
            ASSERT_EQ(round(factor * below), sign | code) << code;        // f32 alone would make a tie of it
            ASSERT_EQ(round(factor * above), sign | (code + 1)) << code;  // likewise
        }
    }
    EXPECT_EQ(round(std::numeric_limits<double>::infinity()), Format::infinity);
    EXPECT_EQ(round(-std::numeric_limits<double>::infinity()), 0x8000U | Format::infinity);
    EXPECT_EQ(round(std::numeric_limits<double>::max()), Format::infinity);
    EXPECT_EQ(round(std::numeric_limits<double>::denorm_min()), 0U);
    EXPECT_EQ(round(-std::numeric_limits<double>::denorm_min()), 0x8000U);
    EXPECT_TRUE(std::isnan(Format::decode(round(std::numeric_limits<double>::quiet_NaN()))));
}

TEST(Round, Bf16RoundsFloat64Once) { check_rounding<formats::Bf16>(round_to_bf16); }
TEST(Round, F16RoundsFloat64Once) { check_rounding<formats::F16>(round_to_f16); }

}  // namespace
}  // namespace moegemm::test
