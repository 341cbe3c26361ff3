#include <moegemm/error.hpp>

#include <gtest/gtest.h>

namespace moegemm {
namespace {

TEST(Error, SaysWhatWasWrongAndWhatIsAllowed) {
    const Error error(ErrorCode::invalid_argument, "topk", "0", "1 … num_experts (8)");
    EXPECT_STREQ(error.what(), "topk = 0: allowed is 1 … num_experts (8)");
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.argument(), "topk");
    EXPECT_EQ(error.value(), "0");
    EXPECT_EQ(error.allowed(), "1 … num_experts (8)");
}

TEST(Error, EveryCodeHasItsName) {
    EXPECT_EQ(to_string(ErrorCode::ok), "ok");
    EXPECT_EQ(to_string(ErrorCode::invalid_argument), "invalid_argument");
    EXPECT_EQ(to_string(ErrorCode::unsupported), "unsupported");
    EXPECT_EQ(to_string(ErrorCode::out_of_memory), "out_of_memory");
    EXPECT_EQ(to_string(ErrorCode::overflow), "overflow");
    EXPECT_EQ(to_string(ErrorCode::io), "io");
    EXPECT_EQ(to_string(ErrorCode::parse), "parse");
    EXPECT_EQ(to_string(ErrorCode::plugin), "plugin");
    EXPECT_EQ(to_string(ErrorCode::internal), "internal");
    EXPECT_EQ(to_string(static_cast<ErrorCode>(99)), "unknown");  // a plug-in may send anything
}

}  // namespace
}  // namespace moegemm
