#include <string>

#include <gtest/gtest.h>

#include "bench/workload.hpp"
#include "op/expect_error.hpp"

namespace moegemm::bench {
namespace {

using test::throws_error;

Workload parse(std::string_view text, const char* file = "dir/w.csv") { return parse_workload_csv(text, file); }

testing::AssertionResult fails(std::string_view text, std::string_view where, std::string_view value,
                               std::string_view allowed) {
    return throws_error(ErrorCode::parse, where, value, allowed, [&] { (void)parse(text, "w.csv"); });
}

TEST(WorkloadCsv, ConvertsValuesAndLeavesEmptyFieldsOut) {
    const Workload workload = parse(
        "task_name,num_tokens,ratio,dtype,ep_size\n"
        "moe_quant_group_gemm,64,0.5,int8,\n"
        "moe_quant_group_gemm,128,1,bfloat16,4\n");
    ASSERT_EQ(workload.cases.size(), 2U);
    const std::vector<ArgumentPair> first{
        {"num_tokens", std::int64_t{64}}, {"ratio", 0.5}, {"dtype", std::string("int8")}};
    EXPECT_EQ(workload.cases[0].arguments, first);
    EXPECT_EQ(workload.cases[1].arguments.size(), 4U);
    EXPECT_EQ(workload.cases[1].arguments[3], ArgumentPair("ep_size", std::int64_t{4}));
    EXPECT_EQ(workload.cases[1].source, "dir/w.csv:3");
}

TEST(WorkloadCsv, ReadsQuotesLineEndsMarksAndBlankLines) {
    const Workload workload = parse(
        "\xEF\xBB\xBF\"task_name\" , note ,n\r\n"
        "\r\n"
        "moe_quant_group_gemm,\"a \"\"b\"\", c\r\nd\", 7 \r\n"
        "  \n"
        "\"moe_quant_group_gemm\",\"\",8");
    ASSERT_EQ(workload.cases.size(), 2U);
    const std::vector<ArgumentPair> first{{"note", std::string("a \"b\", c\r\nd")}, {"n", std::int64_t{7}}};
    EXPECT_EQ(workload.cases[0].arguments, first);
    EXPECT_EQ(workload.cases[0].source, "dir/w.csv:3");
    const std::vector<ArgumentPair> second{{"n", std::int64_t{8}}};
    EXPECT_EQ(workload.cases[1].arguments, second);
    EXPECT_EQ(workload.cases[1].source, "dir/w.csv:6");
}

TEST(WorkloadCsv, SkipsOtherOps) {
    const Workload workload = parse("task_name,n\ngemm,1\nmoe_quant_group_gemm,2\ngemm,3\nadd,4\n");
    EXPECT_EQ(workload.cases.size(), 1U);
    ASSERT_EQ(workload.skipped.size(), 2U);
    EXPECT_EQ(workload.skipped[0].name, "gemm");
    EXPECT_EQ(workload.skipped[0].entries, 2U);
}

TEST(WorkloadCsv, TheColumnOfTheOpMayBeMissingWhereTheFileIsTheOps) {
    EXPECT_EQ(parse("n\n1\n", "moe_quant_group_gemm.csv").cases.size(), 1U);
    EXPECT_TRUE(fails("n\n1\n", "w.csv:1", "no column task_name", "task_name"));
}

TEST(WorkloadCsv, RepeatedColumnsAreAsInPython) {
    const Workload workload = parse("task_name,a,b,a\nmoe_quant_group_gemm,1,2,3\n");
    const std::vector<ArgumentPair> expected{{"a", std::int64_t{3}}, {"b", std::int64_t{2}}};
    EXPECT_EQ(workload.cases.at(0).arguments, expected);
}

TEST(WorkloadCsv, FaultsNameTheLine) {
    EXPECT_TRUE(fails("", "w.csv:1", "no header", "task_name"));
    EXPECT_TRUE(fails("task_name,a\n\nmoe_quant_group_gemm,1,2\n", "w.csv:3", "3 fields", "2, as in the header"));
    EXPECT_TRUE(fails("task_name,a\nmoe_quant_group_gemm\n", "w.csv:2", "1 fields", "2, as in the header"));
    EXPECT_TRUE(fails("task_name,a\nx,\"1\n2\n", "w.csv:2", "does not end", "closing quote"));
    EXPECT_TRUE(fails("task_name,a\nx,\"1\"2\n", "w.csv:2", "after a closing quote", "a comma"));
    EXPECT_TRUE(fails("task_name,a\nx,\xFF\n", "w.csv:2:3", "0xff", "UTF-8"));
    EXPECT_TRUE(fails(std::string_view("task_name,a\nx,\0\n", 16), "w.csv:2:3", "0x00", "UTF-8"));
    EXPECT_TRUE(fails(std::string(5000, ','), "w.csv:1", "one more column", "at most 1000"));
}

TEST(WorkloadCsv, TheNumberOfCasesIsLimited) {
    std::string text = "n\n";
    for (int i = 0; i < 100'001; ++i) {
        text += "1\n";
    }
    EXPECT_TRUE(throws_error(ErrorCode::parse, "moe_quant_group_gemm.csv:100002", "one more case", "at most 100000",
                             [&] { (void)parse(text, "moe_quant_group_gemm.csv"); }));
}

}  // namespace
}  // namespace moegemm::bench
