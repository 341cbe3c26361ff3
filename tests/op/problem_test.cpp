#include <moegemm/problem.hpp>

#include <limits>

#include <gtest/gtest.h>

#include "op/expect_error.hpp"
#include "op/host_case.hpp"

namespace moegemm {
namespace {

using test::spec_of;
using test::throws_error;

constexpr auto invalid = ErrorCode::invalid_argument;

Arguments small_arguments() {
    Arguments arguments;
    arguments.routing = {64, 8, 2, 2, 1};
    arguments.hidden_size = 128;
    arguments.new_hidden_size = 96;
    return arguments;
}

Problem route(const Arguments& arguments) { return Problem::from(arguments, Routing{}); }

void set_types(Arguments& arguments, std::string_view dtype, std::string_view w_dtype, std::string_view compute_dtype) {
    arguments.dtype = dtype;
    arguments.w_dtype = w_dtype;
    arguments.compute_dtype = compute_dtype;
}

TEST(Problem, TakesItsSpecFromTheArguments) {
    const Problem problem = route(small_arguments());
    const GemmSpec& spec = problem.spec();
    EXPECT_EQ(spec.variant, Variant::int8);
    EXPECT_EQ(spec.dst, DType::bf16);
    EXPECT_EQ(spec.experts, 4);
    EXPECT_EQ(spec.n, 96);
    EXPECT_EQ(spec.k, 128);
    EXPECT_EQ(spec.max_rows, 64);
    EXPECT_EQ(problem.rows(), 64);
    EXPECT_EQ(spec.scale_layout, ScaleLayout::none);
    EXPECT_FALSE(spec.has_alpha);
}

TEST(Problem, DefaultsOfEveryVariant) {
    for (const VariantInfo& row : variants) {
        Arguments arguments = small_arguments();
        set_types(arguments, row.types[0], row.types[1], row.types[2]);
        const GemmSpec spec = route(arguments).spec();
        EXPECT_EQ(spec.variant, row.id);
        EXPECT_EQ(spec.scale_layout, row.layouts[0]) << row.name;
        EXPECT_EQ(spec.has_alpha, row.alpha != Alpha::none) << row.name;
        arguments.alpha = false;
        EXPECT_FALSE(route(arguments).spec().has_alpha) << row.name;
        for (const ScaleLayout layout : row.layouts) {
            if (layout != ScaleLayout::none) {
                arguments.scale_layout = to_string(layout);
                EXPECT_EQ(route(arguments).spec().scale_layout, layout) << row.name;
            }
        }
    }
}

TEST(Problem, NoTokensIsAProblemOfNoRows) {
    Arguments arguments = small_arguments();
    arguments.routing.num_tokens = 0;
    const Problem problem = route(arguments);
    EXPECT_EQ(problem.rows(), 0);
    EXPECT_EQ(problem.experts_used(), 0);
    EXPECT_EQ(problem.m_indptr().size(), 5U);
}

TEST(Problem, CountsRows) {
    const Problem problem = Problem::from(spec_of(Variant::bf16, 4, 8, 8), {0, 3, 3, 10, 11});
    EXPECT_EQ(problem.rows(), 11);
    EXPECT_EQ(problem.spec().max_rows, 11);
    EXPECT_EQ(problem.rows_of(2), 7);
    EXPECT_EQ(problem.rows_max(), 7);
    EXPECT_EQ(problem.rows_min(), 0);
    EXPECT_EQ(problem.experts_used(), 3);
}

TEST(Problem, ScaleColumnsRoundUp) {
    EXPECT_EQ(spec_of(Variant::fp8_block, 1, 1, 129).scale_columns(), 2);
    EXPECT_EQ(spec_of(Variant::mxfp8, 1, 1, 96).scale_columns(), 3);
    EXPECT_EQ(spec_of(Variant::nvfp4, 1, 1, 96).scale_columns(), 6);
    EXPECT_EQ(spec_of(Variant::int8, 1, 1, 96).scale_columns(), 0);
}

TEST(ProblemBadInput, ArgType) {
    Arguments arguments = small_arguments();
    arguments.arg_type = "default";
    EXPECT_TRUE(throws_error(invalid, "arg_type", "default", "llm", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, NegativeTokens) {
    Arguments arguments = small_arguments();
    arguments.routing.num_tokens = -1;
    EXPECT_TRUE(throws_error(invalid, "num_tokens", "-1", "0", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, ExpertsNotDividedByRanks) {
    Arguments arguments = small_arguments();
    arguments.routing.ep_size = 3;
    arguments.routing.ep_rank = 0;
    // Either of the two may be named; both stand in the message.
    try {
        (void)route(arguments);
        FAIL() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), invalid);
        EXPECT_TRUE(error.argument() == "num_experts" || error.argument() == "ep_size") << error.what();
        EXPECT_NE(std::string(error.what()).find('8'), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find('3'), std::string::npos) << error.what();
    }
}

TEST(ProblemBadInput, NoExperts) {
    Arguments arguments = small_arguments();
    arguments.routing.num_experts = 0;
    EXPECT_TRUE(throws_error(invalid, "num_experts", "0", "1", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, MoreExpertsThanAnyModelHas) {
    Arguments arguments = small_arguments();
    arguments.routing = {1, std::int64_t{1} << 40, 1, 1, 0};
    EXPECT_TRUE(throws_error(invalid, "num_experts", "1099511627776", "1048576", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, TopkBeyondExperts) {
    Arguments arguments = small_arguments();
    arguments.routing.topk = 9;
    EXPECT_TRUE(throws_error(invalid, "topk", "9", "8", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, TopkOfZero) {
    Arguments arguments = small_arguments();
    arguments.routing.topk = 0;
    EXPECT_TRUE(throws_error(invalid, "topk", "0", "1", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, NoRanks) {
    Arguments arguments = small_arguments();
    arguments.routing.ep_size = 0;
    EXPECT_TRUE(throws_error(invalid, "ep_size", "0", "1", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, RankBeyondTheLast) {
    Arguments arguments = small_arguments();
    arguments.routing.ep_rank = 2;
    EXPECT_TRUE(throws_error(invalid, "ep_rank", "2", "1", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, NegativeRank) {
    Arguments arguments = small_arguments();
    arguments.routing.ep_rank = -1;
    EXPECT_TRUE(throws_error(invalid, "ep_rank", "-1", "0", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, TokensTimesTopkOverflows) {
    Arguments arguments = small_arguments();
    arguments.routing.num_tokens = std::numeric_limits<std::int64_t>::max() / 2 + 1;
    try {
        (void)route(arguments);
        FAIL() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::overflow) << error.what();
    }
}

TEST(ProblemBadInput, RowsBeyondInt32) {
    Arguments arguments = small_arguments();
    arguments.routing = {std::int64_t{1} << 32, 4, 1, 1, 0};
    EXPECT_TRUE(throws_error(invalid, "num_tokens", "4294967296", "2147483647", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, ZeroHiddenSize) {
    Arguments arguments = small_arguments();
    arguments.hidden_size = 0;
    EXPECT_TRUE(throws_error(invalid, "hidden_size", "0", "at least 1", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, NegativeNewHiddenSize) {
    Arguments arguments = small_arguments();
    arguments.new_hidden_size = -5;
    EXPECT_TRUE(throws_error(invalid, "new_hidden_size", "-5", "at least 1", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, DepthAgainstTheGranularityOfEveryVariant) {
    int with_granularity = 0;
    for (const VariantInfo& row : variants) {
        Arguments arguments = small_arguments();
        set_types(arguments, row.types[0], row.types[1], row.types[2]);
        const std::int64_t granularity = row.name.starts_with("mx") ? 32 : row.name.starts_with("nv") ? 16 : 1;
        arguments.hidden_size = 3 * granularity;
        EXPECT_EQ(route(arguments).spec().k, 3 * granularity);
        arguments.hidden_size += granularity / 2;
        if (granularity == 1) {
            continue;
        }
        ++with_granularity;
        EXPECT_TRUE(throws_error(invalid, "hidden_size", std::to_string(arguments.hidden_size),
                                 "a multiple of " + std::to_string(granularity), [&] { (void)route(arguments); }))
            << row.name;
    }
    EXPECT_EQ(with_granularity, 6);
}

TEST(ProblemBadInput, Int8DepthBeyondAnExactSum) {
    Arguments arguments = small_arguments();
    arguments.hidden_size = 131071;
    EXPECT_EQ(route(arguments).spec().k, 131071);
    arguments.hidden_size = 131072;
    EXPECT_TRUE(throws_error(invalid, "hidden_size", "131072", "131071", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, LayoutOfAnotherVariant) {
    Arguments arguments = small_arguments();
    set_types(arguments, "mxfp8", "mxfp8", "mxfp8");
    arguments.scale_layout = "mn_major";
    EXPECT_TRUE(throws_error(invalid, "scale_layout", "mn_major", "swizzled_128x4, linear, swizzled_128x4_whole",
                             [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, LayoutOfAVariantWithoutBlockScales) {
    Arguments arguments = small_arguments();
    arguments.scale_layout = "linear";
    EXPECT_TRUE(
        throws_error(invalid, "scale_layout", "linear", "int8 has no block scales", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, NoLayoutForBlockScales) {
    Arguments arguments = small_arguments();
    set_types(arguments, "float8", "float8", "fp8_block");
    arguments.scale_layout = "none";
    EXPECT_TRUE(throws_error(invalid, "scale_layout", "none", "mn_major, k_major", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, UnknownLayout) {
    Arguments arguments = small_arguments();
    set_types(arguments, "nvfp4", "nvfp4", "nvfp4");
    arguments.scale_layout = "swizzled";
    EXPECT_TRUE(throws_error(invalid, "scale_layout", "swizzled", "swizzled_128x4", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, WeightsOverflow) {
    Arguments arguments = small_arguments();
    arguments.hidden_size = 100000;
    arguments.new_hidden_size = std::numeric_limits<std::int64_t>::max() / 200000;
    EXPECT_TRUE(throws_error(ErrorCode::overflow, "experts_weight", "*", "2^63", [&] { (void)route(arguments); }));
}

TEST(ProblemBadInput, EveryDimensionAtItsLargestIsAnErrorAndNoUndefinedBehaviour) {
    for (const VariantInfo& row : variants) {
        for (const bool huge_n : {false, true}) {
            for (const bool huge_k : {false, true}) {
                for (const bool huge_experts : {false, true}) {
                    constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max() / 32 * 32;
                    GemmSpec spec = spec_of(row.id, huge_experts ? huge : 1, huge_n ? huge : 1, huge_k ? huge : 32);
                    spec.max_rows = std::numeric_limits<std::int32_t>::max();
                    if (!huge_n && !huge_k && !huge_experts) {
                        spec.check();
                        continue;
                    }
                    EXPECT_THROW(spec.check(), Error) << row.name << huge_n << huge_k << huge_experts;
                }
            }
        }
    }
}

TEST(ProblemBadInput, OperationsOverflow) {
    // Each tensor fits, and 2·M·K·N does not.
    const GemmSpec spec = spec_of(Variant::bf16, 1, std::int64_t{1} << 29, std::int64_t{1} << 29);
    EXPECT_TRUE(throws_error(ErrorCode::overflow, "calc_flops", "*", "2^63", [&] {
        (void)Problem::from(spec, {0, 64});
    }));
}

TEST(SpecBadInput, ElementOfAnotherVariant) {
    GemmSpec spec = spec_of(Variant::mxfp4, 2, 8, 32);
    spec.a = DType::bf16;
    EXPECT_TRUE(throws_error(invalid, "dtype", "bf16", "e4m3 or e5m2 for mxfp4", [&] { spec.check(); }));
}

TEST(SpecBadInput, WeightElementOfAnotherVariant) {
    GemmSpec spec = spec_of(Variant::mxfp4, 2, 8, 32);
    spec.w = DType::e5m2;
    EXPECT_TRUE(throws_error(invalid, "w_dtype", "e5m2", "e2m1x2 for mxfp4", [&] { spec.check(); }));
}

TEST(SpecBadInput, DstElement) {
    GemmSpec spec = spec_of(Variant::bf16, 2, 8, 32);
    spec.dst = DType::f64;
    EXPECT_TRUE(throws_error(invalid, "dst_dtype", "float64", "bfloat16, float16, float32", [&] { spec.check(); }));
}

TEST(SpecBadInput, NoExperts) {
    EXPECT_TRUE(
        throws_error(invalid, "num_experts", "0", "at least 1", [] { spec_of(Variant::bf16, 0, 8, 32).check(); }));
}

TEST(SpecBadInput, RowsBeyondInt32) {
    GemmSpec spec = spec_of(Variant::bf16, 2, 8, 32);
    spec.max_rows = std::int64_t{1} << 31;
    EXPECT_TRUE(throws_error(invalid, "max_rows", "2147483648", "2147483647", [&] { spec.check(); }));
}

TEST(SpecBadInput, NegativeRows) {
    GemmSpec spec = spec_of(Variant::bf16, 2, 8, 32);
    spec.max_rows = -1;
    EXPECT_TRUE(throws_error(invalid, "max_rows", "-1", "0", [&] { spec.check(); }));
}

TEST(SpecBadInput, AlphaOfAVariantWithoutOne) {
    GemmSpec spec = spec_of(Variant::mxfp8, 2, 8, 32);
    spec.has_alpha = true;
    EXPECT_TRUE(throws_error(invalid, "alpha", "given", "mxfp8 has no alpha", [&] { spec.check(); }));
}

TEST(RowOffsetsBadInput, WrongNumberOfEntries) {
    EXPECT_TRUE(throws_error(invalid, "m_indptr", "3 entries", "one entry more than the 3 experts", [] {
        (void)Problem::from(spec_of(Variant::bf16, 3, 8, 8), {0, 1, 2});
    }));
}

TEST(RowOffsetsBadInput, None) {
    EXPECT_TRUE(throws_error(invalid, "m_indptr", "0 entries", "one entry more than the 3 experts",
                             [] { (void)Problem::from(spec_of(Variant::bf16, 3, 8, 8), {}); }));
}

TEST(RowOffsetsBadInput, NotFromZero) {
    EXPECT_TRUE(throws_error(invalid, "m_indptr", "1 at entry 0", "0 at entry 0", [] {
        (void)Problem::from(spec_of(Variant::bf16, 3, 8, 8), {1, 1, 2, 3});
    }));
}

TEST(RowOffsetsBadInput, Decreasing) {
    EXPECT_TRUE(throws_error(invalid, "m_indptr", "3 at entry 2", "at least entry 1, which is 5", [] {
        (void)Problem::from(spec_of(Variant::bf16, 3, 8, 8), {0, 5, 3, 8});
    }));
}

TEST(RowOffsetsBadInput, NegativeEnd) {
    EXPECT_TRUE(throws_error(invalid, "m_indptr", "-1 at entry 3", "at least entry 2, which is 0", [] {
        (void)Problem::from(spec_of(Variant::bf16, 3, 8, 8), {0, 0, 0, -1});
    }));
}

TEST(RowOffsetsBadInput, NotEndingAtTheRows) {
    const std::vector<std::int32_t> m_indptr{0, 2, 4, 6};
    EXPECT_TRUE(throws_error(invalid, "m_indptr", "6 at entry 3", "the number of rows, 7",
                             [&] { check_m_indptr(m_indptr, 3, 7); }));
    check_m_indptr(m_indptr, 3, 6);
}

}  // namespace
}  // namespace moegemm
