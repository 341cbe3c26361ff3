#include "bench/comparison.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

std::string reason_of(DType dst, const std::vector<double>& expected, const std::vector<double>& actual) {
    Comparison comparison(dst, {3e-3, 6e-3});
    comparison.add_row(5, {}, expected, actual);
    EXPECT_EQ(comparison.checked(), static_cast<std::int64_t>(expected.size()));
    return comparison.reason();
}

TEST(Comparison, TakesWhatIsWithinBothTolerances) {
    EXPECT_EQ(reason_of(DType::bf16, {1, -2, 3}, {1.002, -2.004, 3.006}), "");
    EXPECT_EQ(reason_of(DType::bf16, {0, 0}, {0, -0.0}), "");
}

TEST(Comparison, RefusesOneElementOfARowOfSmallNumbers) {
    Comparison comparison(DType::bf16, {3e-3, 6e-3});
    comparison.add_row(0, {}, std::vector<double>{1000, 2000}, std::vector<double>{1000, 2000});
    comparison.add_row(1, std::vector<std::int64_t>{40, 50}, std::vector<double>{1, 2}, std::vector<double>{1, 2.1});
    EXPECT_LT(comparison.relative_norm(), 1e-3);
    EXPECT_NEAR(comparison.relative_max(), 0.05, 1e-6);
    EXPECT_NE(comparison.reason().find("row 1, column 50: 2.1 where 2 is expected"), std::string::npos)
        << comparison.reason();
}

TEST(Comparison, RefusesManySmallErrors) {
    const std::vector<double> expected(100, 1.0);
    const std::vector<double> actual(100, 1.004);
    EXPECT_NE(reason_of(DType::bf16, expected, actual).find("relative_norm"), std::string::npos);
}

TEST(Comparison, RefusesAnythingWhereZeroIsExpected) {
    EXPECT_NE(reason_of(DType::f32, {0, 0}, {0, 1e-30}).find("row 5, column 1"), std::string::npos);
}

TEST(Comparison, WantsNanExactlyWhereItIsExpected) {
    EXPECT_EQ(reason_of(DType::bf16, {nan, 1}, {-nan, 1}), "");
    EXPECT_NE(reason_of(DType::bf16, {nan, 1}, {1, 1}), "");
    EXPECT_NE(reason_of(DType::bf16, {1, 1}, {nan, 1}), "");
}

TEST(Comparison, WantsInfinityExactlyWhereTheValueRoundsToOne) {
    EXPECT_EQ(reason_of(DType::f16, {65520, -1e6, inf}, {inf, -inf, inf}), "");
    EXPECT_EQ(reason_of(DType::f16, {65519}, {65504}), "");
    EXPECT_NE(reason_of(DType::f16, {65519}, {inf}), "");
    EXPECT_NE(reason_of(DType::f16, {65520}, {65504}), "");
    EXPECT_NE(reason_of(DType::f16, {65520}, {-inf}), "");
    EXPECT_EQ(reason_of(DType::bf16, {3.39617753e38}, {inf}), "");
    EXPECT_NE(reason_of(DType::bf16, {3.3961775e38}, {inf}), "");
    EXPECT_EQ(reason_of(DType::f32, {3.4028236e38}, {inf}), "");
}

TEST(Comparison, AMagnitudeStandsInForARowThatCancels) {
    Comparison without(DType::f32, {1e-5, 3e-5});
    without.add_row(0, {}, std::vector<double>{1e-4}, std::vector<double>{1.0001e-4});
    EXPECT_FALSE(without.passed());
    Comparison with(DType::f32, {1e-5, 3e-5});
    with.add_row(0, {}, std::vector<double>{1e-4}, std::vector<double>{1.0001e-4}, std::vector<double>{1.0});
    EXPECT_TRUE(with.passed());
}

TEST(Tolerance, FollowsTheDestinationAndTheAccumulation) {
    EXPECT_EQ(tolerance_for(DType::bf16, Accumulation::promoted_128).relative_max, 6e-3);
    EXPECT_EQ(tolerance_for(DType::f16, Accumulation::fp32).relative_norm, 4e-4);
    EXPECT_EQ(tolerance_for(DType::f32, Accumulation::fp32).relative_max, 3e-5);
    EXPECT_EQ(tolerance_for(DType::f32, Accumulation::promoted_128).relative_norm, 1e-3);
    EXPECT_EQ(tolerance_for(DType::bf16, Accumulation::fast).relative_norm, 1e-2);
}

TEST(DecodeElements, KnowsTheThreeTypes) {
    const std::uint16_t bf16[]{0x3F80, 0xC000};
    const std::uint16_t f16[]{0x3C00, 0xC000};
    const float f32[]{1.0F, -2.0F};
    for (const auto& [type, stored] :
         {std::pair<DType, const void*>{DType::bf16, bf16}, {DType::f16, f16}, {DType::f32, f32}}) {
        std::vector<double> values(2);
        decode_elements(type, stored, values);
        EXPECT_EQ(values, (std::vector<double>{1.0, -2.0})) << info(type).name;
    }
    EXPECT_THROW(decode_elements(DType::i8, f32, {}), Error);
}

}  // namespace
}  // namespace moegemm::bench
