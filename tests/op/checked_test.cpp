#include "op/checked.hpp"

#include <limits>

#include <gtest/gtest.h>

#include "op/expect_error.hpp"

namespace moegemm {
namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

TEST(Checked, GivesWhatFits) {
    EXPECT_EQ(checked_mul(std::int64_t{1} << 31, (std::int64_t{1} << 32) - 1, "x"), 9223372034707292160);
    EXPECT_EQ(checked_mul(largest, 1, "x"), largest);
    EXPECT_EQ(checked_add(largest - 1, 1, "x"), largest);
    EXPECT_EQ(checked_mul({3, 5, 7}, "x"), 105);
    EXPECT_EQ(checked_mul({}, "x"), 1);
}

TEST(Checked, NamesAnOverflowingProduct) {
    EXPECT_TRUE(test::throws_error(ErrorCode::overflow, "y", "4294967296 * 2147483648", "2^63",
                                   [] { (void)checked_mul(std::int64_t{1} << 32, std::int64_t{1} << 31, "y"); }));
}

TEST(Checked, NamesAnOverflowingSum) {
    EXPECT_TRUE(test::throws_error(ErrorCode::overflow, "io_bytes", "9223372036854775807 + 1", "2^63",
                                   [] { (void)checked_add(largest, 1, "io_bytes"); }));
}

TEST(Checked, OverflowIsNotHiddenByALaterZero) {
    EXPECT_TRUE(test::throws_error(ErrorCode::overflow, "w", "9223372036854775807 * 2", "2^63", [] {
        (void)checked_mul({largest, 2, 0}, "w");
    }));
}

}  // namespace
}  // namespace moegemm
