// Every code of every format, and every float near a rounding boundary, against formulas that share nothing with the
// headers: decoding by ldexp in double, encoding by looking for the nearest of all numbers of the format.
#include <moegemm/formats/formats.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moegemm::formats {
namespace {

constexpr float f32_infinity = std::numeric_limits<float>::infinity();
constexpr float f32_nan = std::numeric_limits<float>::quiet_NaN();

/// What the specifications say of a format, written down once more.
template <class Format>
struct Spec;

template <>
struct Spec<Bf16> {
    static constexpr int exponent_bits = 8, mantissa_bits = 7, bias = 127;
    static constexpr int codes = 65536;
    static constexpr bool is_signed = true, ieee = true, finite_overflow_saturates = false;
    static bool nan_code(int code) { return (code & 0x7FFF) > 0x7F80; }
    static constexpr int nan_result = 0x7FFF, infinity_result = 0x7F80;
};
template <>
struct Spec<F16> {
    static constexpr int exponent_bits = 5, mantissa_bits = 10, bias = 15;
    static constexpr int codes = 65536;
    static constexpr bool is_signed = true, ieee = true, finite_overflow_saturates = false;
    static bool nan_code(int code) { return (code & 0x7FFF) > 0x7C00; }
    static constexpr int nan_result = 0x7FFF, infinity_result = 0x7C00;
};
template <>
struct Spec<E4m3> {
    static constexpr int exponent_bits = 4, mantissa_bits = 3, bias = 7;
    static constexpr int codes = 256;
    static constexpr bool is_signed = true, ieee = false, finite_overflow_saturates = true;
    static bool nan_code(int code) { return (code & 0x7F) == 0x7F; }
    static constexpr int nan_result = 0x7F, infinity_result = 0x7E;
};
template <>
struct Spec<E5m2> {
    static constexpr int exponent_bits = 5, mantissa_bits = 2, bias = 15;
    static constexpr int codes = 256;
    static constexpr bool is_signed = true, ieee = true, finite_overflow_saturates = true;
    static bool nan_code(int code) { return (code & 0x7F) > 0x7C; }
    static constexpr int nan_result = 0x7F, infinity_result = 0x7C;
};
template <>
struct Spec<E2m1> {
    static constexpr int exponent_bits = 2, mantissa_bits = 1, bias = 1;
    static constexpr int codes = 16;
    static constexpr bool is_signed = true, ieee = false, finite_overflow_saturates = true;
    static bool nan_code(int) { return false; }
    static constexpr int nan_result = 0x7, infinity_result = 0x7;
};
template <>
struct Spec<Ue4m3> {
    static constexpr int exponent_bits = 4, mantissa_bits = 3, bias = 7;
    static constexpr int codes = 128;
    static constexpr bool is_signed = false, ieee = false, finite_overflow_saturates = true;
    static bool nan_code(int code) { return code == 0x7F; }
    static constexpr int nan_result = 0x7F, infinity_result = 0x7E;
};
template <>
struct Spec<Ue8m0> {
    static constexpr int exponent_bits = 8, mantissa_bits = 0, bias = 127;
    static constexpr int codes = 256;
    static constexpr bool is_signed = false, ieee = false, finite_overflow_saturates = true;
    static bool nan_code(int code) { return code == 255; }
    static constexpr int nan_result = 255, infinity_result = 254;
};

/// The number of a code that is no NaN, infinities included.
template <class Format>
double expected_value(int code) {
    using S = Spec<Format>;
    if constexpr (std::is_same_v<Format, Ue8m0>) {
        return std::ldexp(1.0, code - 127);
    }
    const int bits = S::exponent_bits + S::mantissa_bits;
    const double sign = S::is_signed && ((code >> bits) & 1) != 0 ? -1.0 : 1.0;
    const int exponent = (code >> S::mantissa_bits) & ((1 << S::exponent_bits) - 1);
    const int mantissa = code & ((1 << S::mantissa_bits) - 1);
    if (S::ieee && exponent == (1 << S::exponent_bits) - 1) {
        return sign * std::numeric_limits<double>::infinity();
    }
    if (exponent == 0) {
        return sign * std::ldexp(mantissa, 1 - S::bias - S::mantissa_bits);
    }
    return sign * std::ldexp((1 << S::mantissa_bits) + mantissa, exponent - S::bias - S::mantissa_bits);
}

template <class Format>
class FormatTest : public testing::Test {
protected:
    using Rules = Spec<Format>;

    /// Finite values of non-negative codes, ascending; the index is the code.
    static std::vector<double> magnitudes() {
        const int count = Rules::is_signed ? Rules::codes / 2 : Rules::codes;
        std::vector<double> values;
        for (int code = 0; code < count; ++code) {
            if (!Rules::nan_code(code) && std::isfinite(expected_value<Format>(code))) {
                values.push_back(expected_value<Format>(code));
            }
        }
        return values;
    }

    /// The code of a float by the documented rules, from the list of all numbers.
    static int slow_encode(float value, const std::vector<double>& numbers) {
        if (std::isnan(value)) {
            return Rules::nan_result;
        }
        const bool negative = std::signbit(value);
        if (negative && !Rules::is_signed) {
            return 0;
        }
        const int sign = negative ? Rules::codes / 2 : 0;
        if (std::isinf(value)) {
            return sign | Rules::infinity_result;
        }
        const double magnitude = std::fabs(static_cast<double>(value));
        const auto largest = static_cast<int>(numbers.size()) - 1;
        const double above_max = 2.0 * numbers[numbers.size() - 1] - numbers[numbers.size() - 2];
        const auto upper = static_cast<int>(std::lower_bound(numbers.begin(), numbers.end(), magnitude) -
                                            numbers.begin());  // the first number ≥ magnitude
        if (upper == 0) {
            return sign;
        }
        const bool beyond = upper > largest;
        const double high = beyond ? above_max : numbers[static_cast<std::size_t>(upper)];
        const double low = numbers[static_cast<std::size_t>(upper - 1)];
        int code = 0;
        if (magnitude - low < high - magnitude) {
            code = upper - 1;
        } else if (magnitude - low > high - magnitude) {
            code = upper;
        } else {
            code = upper % 2 == 0 ? upper : upper - 1;
        }
        if (code > largest) {
            code = Rules::finite_overflow_saturates ? largest : Rules::infinity_result;
        }
        return sign | code;
    }

    static int encode(float value) { return static_cast<int>(Format::encode(value)); }
    static float decode(int code) { return Format::decode(static_cast<typename Format::Code>(code)); }

    /// The float `steps` places away in the order of the reals.
    static float step(float value, int steps) {
        for (int i = 0; i < std::abs(steps); ++i) {
            value = std::nextafterf(value, steps < 0 ? -f32_infinity : f32_infinity);
        }
        return value;
    }
};

using AllFormats = testing::Types<Bf16, F16, E4m3, E5m2, E2m1, Ue8m0, Ue4m3>;

struct FormatNames {
    template <class Format>
    static std::string GetName(int index) {
        constexpr const char* names[] = {"bf16", "f16", "e4m3", "e5m2", "e2m1", "ue8m0", "ue4m3"};
        return names[index];
    }
};
TYPED_TEST_SUITE(FormatTest, AllFormats, FormatNames);

TYPED_TEST(FormatTest, DecodesEveryCode) {
    using S = Spec<TypeParam>;
    for (int code = 0; code < S::codes; ++code) {
        const float value = this->decode(code);
        if (S::nan_code(code)) {
            EXPECT_TRUE(std::isnan(value)) << code;
            continue;
        }
        const double expected = expected_value<TypeParam>(code);
        EXPECT_EQ(static_cast<double>(value), expected) << code;
        EXPECT_EQ(std::signbit(value), std::signbit(expected)) << code;
    }
}

TYPED_TEST(FormatTest, EncodeUndoesDecodeForEveryCode) {
    using S = Spec<TypeParam>;
    for (int code = 0; code < S::codes; ++code) {
        EXPECT_EQ(this->encode(this->decode(code)), S::nan_code(code) ? S::nan_result : code) << code;
    }
}

TYPED_TEST(FormatTest, RoundsEveryFloatNearABoundary) {
    const std::vector<double> numbers = this->magnitudes();
    int checked = 0;
    const auto check = [&](float value) {
        for (const float v : {value, -value}) {
            ASSERT_EQ(this->encode(v), this->slow_encode(v, numbers)) << fmt::format("{:a} = {}", v, v);
            ++checked;
        }
    };
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        // The last boundary lies half a step above the largest number: the overflow threshold.
        const double next = i + 1 < numbers.size() ? numbers[i + 1] : 2.0 * numbers[i] - numbers[i - 1];
        const auto middle = static_cast<float>((numbers[i] + next) / 2.0);
        for (int steps = -5; steps <= 5; ++steps) {
            check(this->step(static_cast<float>(numbers[i]), steps));
            check(this->step(middle, steps));
        }
    }
    EXPECT_GE(checked, static_cast<int>(numbers.size()) * 44);
}

TYPED_TEST(FormatTest, RoundsTheEndsOfTheFloatRange) {
    const std::vector<double> numbers = this->magnitudes();
    const float subnormal = std::numeric_limits<float>::denorm_min();
    const float smallest = std::numeric_limits<float>::min();
    const float largest = std::numeric_limits<float>::max();
    for (const float value : {0.0F, subnormal, 3.0F * subnormal, smallest / 2.0F, smallest, largest, f32_infinity}) {
        for (int steps = -2; steps <= 2; ++steps) {
            const float v = this->step(value, steps);
            EXPECT_EQ(this->encode(v), this->slow_encode(v, numbers)) << fmt::format("{:a}", v);
            EXPECT_EQ(this->encode(-v), this->slow_encode(-v, numbers)) << fmt::format("{:a}", -v);
        }
    }
}

TYPED_TEST(FormatTest, RoundsAPowerOfTwoTimesOddNumbers) {
    // Every exponent of binary32 with a few mantissas: no range is left out between the boundaries' neighbourhoods.
    const std::vector<double> numbers = this->magnitudes();
    for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
        for (const std::uint32_t mantissa : {0U, 1U, 0x155555U, 0x3FFFFFU, 0x400000U, 0x400001U, 0x7FFFFFU}) {
            const float value = std::bit_cast<float>(exponent << 23 | mantissa);
            EXPECT_EQ(this->encode(value), this->slow_encode(value, numbers)) << fmt::format("{:a}", value);
            EXPECT_EQ(this->encode(-value), this->slow_encode(-value, numbers)) << fmt::format("{:a}", -value);
        }
    }
}

TYPED_TEST(FormatTest, EveryNanEncodesAlike) {
    using S = Spec<TypeParam>;
    for (const std::uint32_t bits : {0x7F800001U, 0x7FBFFFFFU, 0x7FC00000U, 0x7FFFFFFFU}) {
        EXPECT_EQ(this->encode(std::bit_cast<float>(bits)), S::nan_result);
        EXPECT_EQ(this->encode(std::bit_cast<float>(bits | 0x80000000U)), S::nan_result);
    }
}

TYPED_TEST(FormatTest, ConstantsDescribeTheFormat) {
    using S = Spec<TypeParam>;
    const std::vector<double> numbers = this->magnitudes();
    EXPECT_EQ(TypeParam::mantissa_bits, S::mantissa_bits);
    EXPECT_EQ(TypeParam::exponent_bias, S::bias);
    EXPECT_EQ(static_cast<double>(TypeParam::max), numbers.back());
    const bool has_zero = numbers[0] == 0.0;
    EXPECT_EQ(static_cast<double>(TypeParam::min_subnormal), numbers[has_zero ? 1 : 0]);
    EXPECT_EQ(static_cast<double>(TypeParam::min_normal), has_zero ? std::ldexp(1.0, 1 - S::bias) : numbers[0]);
}

TEST(FormatsTest, SignBitOfUe4m3IsIgnored) {
    for (int code = 0; code < 0x7F; ++code) {
        EXPECT_EQ(Ue4m3::decode(static_cast<std::uint8_t>(code | 0x80)),
                  Ue4m3::decode(static_cast<std::uint8_t>(code)));
    }
    EXPECT_TRUE(std::isnan(Ue4m3::decode(0xFF)));
}

TEST(FormatsTest, E2m1PacksTheEvenElementLow) {
    for (int even = 0; even < 16; ++even) {
        for (int odd = 0; odd < 16; ++odd) {
            const std::uint8_t byte = E2m1::pack(static_cast<std::uint8_t>(even), static_cast<std::uint8_t>(odd));
            EXPECT_EQ(byte, odd * 16 + even);
            EXPECT_EQ(E2m1::unpack_even(byte), even);
            EXPECT_EQ(E2m1::unpack_odd(byte), odd);
            EXPECT_EQ(E2m1::decode(byte), E2m1::decode(static_cast<std::uint8_t>(even)));
        }
    }
}

// The headers are constexpr: these lines compile or the test does not build.
static_assert(Bf16::encode(1.00390625F) == 0x3F80 && Bf16::decode(0x4049) == 3.140625F);
static_assert(F16::encode(65519.996F) == 0x7BFF && F16::encode(65520.0F) == F16::infinity &&
              F16::decode(1) == 0x1p-24F);
static_assert(E4m3::encode(-1e9F) == 0xFE && E4m3::encode(f32_nan) == 0x7F && E4m3::decode(0x7E) == 448.0F);
static_assert(E5m2::encode(1e9F) == 0x7B && E5m2::encode(-f32_infinity) == 0xFC && E5m2::decode(1) == 0x1p-16F);
static_assert(E2m1::encode(2.5F) == 4 && E2m1::encode(3.5F) == 6 && E2m1::decode(0xF) == -6.0F);
static_assert(Ue8m0::encode(1.5F) == 128 && Ue8m0::encode(3.0F) == 128 && Ue8m0::decode(0) == 0x1p-127F);
static_assert(Ue4m3::encode(-1.0F) == 0 && Ue4m3::encode(500.0F) == 0x7E && Ue4m3::decode(0xB8) == 1.0F);
static_assert(E2m1::unpack_odd(E2m1::pack(3, 9)) == 9);

}  // namespace
}  // namespace moegemm::formats
