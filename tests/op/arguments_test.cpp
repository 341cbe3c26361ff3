#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/problem.hpp>

#include "op/expect_error.hpp"

namespace moegemm {
namespace {

using test::throws_error;
using Pairs = std::vector<std::pair<std::string, ArgumentValue>>;

Pairs full_pairs() {
    return {{"arg_type", "llm"},
            {"num_tokens", std::int64_t{128}},
            {"hidden_size", std::int64_t{4096}},
            {"new_hidden_size", std::int64_t{2048}},
            {"num_experts", std::int64_t{64}},
            {"topk", std::int64_t{8}},
            {"ep_size", std::int64_t{4}},
            {"ep_rank", std::int64_t{3}},
            {"dtype", "bfloat16"},
            {"w_dtype", "mxfp4"},
            {"compute_dtype", "bf16"},
            {"dst_dtype", "float16"},
            {"scale_layout", "linear"},
            {"alpha", false}};
}

Arguments read(const Pairs& pairs) { return Arguments::from(pairs, nullptr); }

Pairs with(std::string key, ArgumentValue value) {
    Pairs pairs = full_pairs();
    pairs.emplace_back(std::move(key), std::move(value));
    return pairs;
}

Pairs without(std::string_view key) {
    Pairs pairs = full_pairs();
    std::erase_if(pairs, [&](const auto& pair) { return pair.first == key; });
    return pairs;
}

TEST(Arguments, ReadsEveryKey) {
    const Arguments arguments = read(full_pairs());
    EXPECT_EQ(arguments.arg_type, "llm");
    EXPECT_EQ(arguments.routing.num_tokens, 128);
    EXPECT_EQ(arguments.hidden_size, 4096);
    EXPECT_EQ(arguments.new_hidden_size, 2048);
    EXPECT_EQ(arguments.routing.num_experts, 64);
    EXPECT_EQ(arguments.routing.topk, 8);
    EXPECT_EQ(arguments.routing.ep_size, 4);
    EXPECT_EQ(arguments.routing.ep_rank, 3);
    EXPECT_EQ(arguments.dtype, "bfloat16");
    EXPECT_EQ(arguments.w_dtype, "mxfp4");
    EXPECT_EQ(arguments.compute_dtype, "bf16");
    EXPECT_EQ(arguments.dst_dtype, "float16");
    EXPECT_EQ(arguments.scale_layout, "linear");
    EXPECT_FALSE(arguments.alpha);
}

TEST(Arguments, FillsInDefaults) {
    Pairs pairs = full_pairs();
    std::erase_if(pairs, [](const auto& pair) {
        return pair.first.find("dtype") != std::string::npos || pair.first.starts_with("ep_") ||
               pair.first == "scale_layout" || pair.first == "alpha" || pair.first == "arg_type";
    });
    const Arguments arguments = read(pairs);
    EXPECT_EQ(arguments.arg_type, "llm");
    EXPECT_EQ(arguments.routing.ep_size, 1);
    EXPECT_EQ(arguments.routing.ep_rank, 0);
    EXPECT_EQ(arguments.dtype, "int8");
    EXPECT_EQ(arguments.w_dtype, "int8");
    EXPECT_EQ(arguments.compute_dtype, "int8");
    EXPECT_EQ(arguments.dst_dtype, "bfloat16");
    EXPECT_EQ(arguments.scale_layout, "");
    EXPECT_TRUE(arguments.alpha);
}

TEST(Arguments, ALaterPairWins) {
    EXPECT_EQ(read(with("topk", std::int64_t{2})).routing.topk, 2);
    Pairs pairs = full_pairs();
    pairs.insert(pairs.begin(), {"topk", "eight"});  // overruled before its type matters
    EXPECT_EQ(read(pairs).routing.topk, 8);
}

TEST(Arguments, ReportsUnknownKeysOnceInTheirOrder) {
    Pairs pairs = with("zeta", true);
    pairs.insert(pairs.begin(), {"beta", 1.5});
    pairs.emplace_back("zeta", std::monostate{});
    std::vector<std::string> unknown{"of an earlier call"};
    (void)Arguments::from(pairs, &unknown);
    EXPECT_EQ(unknown, (std::vector<std::string>{"beta", "zeta"}));
}

TEST(Arguments, TextsBecomeTheirTypes) {
    EXPECT_EQ(parse_argument_value("128"), ArgumentValue(std::int64_t{128}));
    EXPECT_EQ(parse_argument_value("-1"), ArgumentValue(std::int64_t{-1}));
    EXPECT_EQ(parse_argument_value("9223372036854775807"), ArgumentValue(std::int64_t{9223372036854775807}));
    EXPECT_EQ(parse_argument_value("9223372036854775808"), ArgumentValue(9223372036854775808.0));
    EXPECT_EQ(parse_argument_value("4096.0"), ArgumentValue(4096.0));
    EXPECT_EQ(parse_argument_value("1e3"), ArgumentValue(1000.0));
    EXPECT_EQ(parse_argument_value("true"), ArgumentValue(true));
    EXPECT_EQ(parse_argument_value("false"), ArgumentValue(false));
    for (const std::string text : {"", "nan", "inf", "-inf", "infinity", "int8", "8x", "1 ", " 1", "+1", "0x10"}) {
        EXPECT_EQ(parse_argument_value(text), ArgumentValue(text));
    }
}

TEST(ArgumentsBadInput, MissingNumTokens) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "num_tokens", "missing", "an integer",
                             [] { (void)read(without("num_tokens")); }));
}

TEST(ArgumentsBadInput, MissingHiddenSize) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "hidden_size", "missing", "an integer",
                             [] { (void)read(without("hidden_size")); }));
}

TEST(ArgumentsBadInput, MissingNewHiddenSize) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "new_hidden_size", "missing", "an integer",
                             [] { (void)read(without("new_hidden_size")); }));
}

TEST(ArgumentsBadInput, MissingNumExperts) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "num_experts", "missing", "an integer",
                             [] { (void)read(without("num_experts")); }));
}

TEST(ArgumentsBadInput, MissingTopk) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "topk", "missing", "an integer",
                             [] { (void)read(without("topk")); }));
}

TEST(ArgumentsBadInput, FloatForInteger) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "hidden_size", "4096 (a floating-point number)", "an integer",
                             [] { (void)read(with("hidden_size", 4096.0)); }));
}

TEST(ArgumentsBadInput, IntegerBeyond64Bits) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "num_tokens", "1e+20", "an integer",
                             [] { (void)read(with("num_tokens", parse_argument_value("100000000000000000000"))); }));
}

TEST(ArgumentsBadInput, TextForInteger) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "ep_size", "\"4\" (a text)", "an integer",
                             [] { (void)read(with("ep_size", "4")); }));
}

TEST(ArgumentsBadInput, BooleanForInteger) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "ep_rank", "true (a boolean)", "an integer",
                             [] { (void)read(with("ep_rank", true)); }));
}

TEST(ArgumentsBadInput, NullForInteger) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "topk", "null", "an integer",
                             [] { (void)read(with("topk", std::monostate{})); }));
}

TEST(ArgumentsBadInput, IntegerForText) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "dtype", "8 (an integer)", "a text",
                             [] { (void)read(with("dtype", std::int64_t{8})); }));
}

TEST(ArgumentsBadInput, NullForText) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "scale_layout", "null", "a text",
                             [] { (void)read(with("scale_layout", std::monostate{})); }));
}

TEST(ArgumentsBadInput, IntegerForTrueOrFalse) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "alpha", "0 (an integer)", "true or false",
                             [] { (void)read(with("alpha", std::int64_t{0})); }));
}

}  // namespace
}  // namespace moegemm
