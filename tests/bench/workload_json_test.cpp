#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bench/text_file.hpp"
#include "bench/workload.hpp"
#include "op/expect_error.hpp"

namespace moegemm::bench {
namespace {

using test::throws_error;

std::string text_of(const ArgumentValue& value) {
    struct Text {
        std::string operator()(std::monostate) const { return "null"; }
        std::string operator()(bool flag) const { return flag ? "true" : "false"; }
        std::string operator()(std::int64_t number) const { return fmt::format("{}", number); }
        std::string operator()(double number) const { return fmt::format("{}f", number); }
        std::string operator()(const std::string& text) const { return "'" + text + "'"; }
    };
    return std::visit(Text{}, value);
}

/// "a=1 b='x'; a=2 b='x'"
std::string text_of(const Workload& workload) {
    std::string all;
    for (const Case& item : workload.cases) {
        all += all.empty() ? "" : "; ";
        for (std::size_t i = 0; i < item.arguments.size(); ++i) {
            all += (i == 0 ? "" : " ") + item.arguments[i].first + "=" + text_of(item.arguments[i].second);
        }
    }
    return all;
}

/// The cases of one entry.
std::string expand(const std::string& entry) {
    return text_of(parse_workload_json("{\"cases\": [" + entry + "]}", "dir/moe_quant_group_gemm.json"));
}

template <class Action>
testing::AssertionResult fails(std::string_view where, std::string_view value, std::string_view allowed,
                               Action action) {
    return throws_error(ErrorCode::parse, where, value, allowed, action);
}

testing::AssertionResult entry_fails(const std::string& entry, std::string_view where, std::string_view value,
                                     std::string_view allowed) {
    return fails(where, value, allowed,
                 [&] { (void)parse_workload_json("{\"moe_quant_group_gemm\": [" + entry + "]}", "w.json"); });
}

testing::AssertionResult text_fails(std::string_view text, std::string_view where, std::string_view value,
                                    std::string_view allowed) {
    return fails(where, value, allowed, [&] { (void)parse_workload_json(text, "w.json"); });
}

TEST(WorkloadJson, LastKeyIsFastest) {
    EXPECT_EQ(expand(R"({"a": [1, 2], "b": ["x", "y"], "c": 3})"),
              "a=1 b='x' c=3; a=1 b='y' c=3; a=2 b='x' c=3; a=2 b='y' c=3");
}

TEST(WorkloadJson, DottedKeysComeLastAndOverwrite) {
    EXPECT_EQ(expand(R"({"a.b": [[1, 2], [3, 4]], "c": [5, 6]})"),
              "c=5 a=1 b=2; c=6 a=1 b=2; c=5 a=3 b=4; c=6 a=3 b=4");
    EXPECT_EQ(expand(R"({"b": 9, "a.b": [[1, 2]], "c": 5})"), "b=2 c=5 a=1");
    EXPECT_EQ(expand(R"({"a.b": [[1, 2]], "b.c": [[3, 4]]})"), "a=1 b=3 c=4");
    EXPECT_EQ(expand(R"({"a.a": [[1, 2]]})"), "a=2");
}

TEST(WorkloadJson, DuplicateKeysKeepTheFirstPlaceAndTheLastValue) {
    EXPECT_EQ(expand(R"({"a": [1, 2], "b": 3, "a": 4})"), "a=4 b=3");
}

TEST(WorkloadJson, KeepsTypes) {
    EXPECT_EQ(expand(R"({"a": null, "b": true, "c": -7, "d": 1.5, "e": "5", "f": 9223372036854775808})"),
              "a=null b=true c=-7 d=1.5f e='5' f=9.223372036854776e+18f");
    EXPECT_EQ(expand(R"({"a": [[1, 2], {"k": "v"}]})"), "a='[1,2]'; a='{\"k\":\"v\"}'");
}

TEST(WorkloadJson, BatchEntriesAreOneCaseAsTheyStand) {
    EXPECT_EQ(expand(R"({"arg_type": "batch_llm", "n": [1, 2], "a.b": [[1, 2]]})"),
              "arg_type='batch_llm' n='[1,2]' a.b='[[1,2]]'");
    EXPECT_EQ(expand(R"({"arg_type": ["batch"], "n": [1, 2]})"), "arg_type='[\"batch\"]' n='[1,2]'");
    // In a list the text must be "batch" itself, as Python's `in` has it.
    EXPECT_EQ(expand(R"({"arg_type": ["batch_llm"], "n": [1, 2]})"),
              "arg_type='batch_llm' n=1; arg_type='batch_llm' n=2");
}

TEST(WorkloadJson, EmptyListsHoldNoCases) {
    EXPECT_EQ(expand(R"({"a": [], "b": [1, 2]})"), "");
    EXPECT_EQ(expand(""), "");
    EXPECT_EQ(expand("{}"), "");
    EXPECT_TRUE(parse_workload_json("{}", "w.json").cases.empty());
}

TEST(WorkloadJson, CasesTakeTheirOpFromTheFilesName) {
    const Workload other = parse_workload_json(R"({"cases": [{"a": 1}, {"a": 2}], "source": "x"})", "dir/gemm.json");
    EXPECT_TRUE(other.cases.empty());
    ASSERT_EQ(other.skipped.size(), 1U);
    EXPECT_EQ(other.skipped[0].name, "gemm");
    EXPECT_EQ(other.skipped[0].entries, 2U);
    EXPECT_NE(other.skipped[0].hint.find("moe_quant_group_gemm.json"), std::string::npos);
}

TEST(WorkloadJson, OtherOpsAreSkippedAndNamed) {
    const Workload workload =
        parse_workload_json(R"({"gemm": [{"M": 1}], "moe_quant_group_gemm": [{"a": 1}], "add": []})", "w.json");
    EXPECT_EQ(text_of(workload), "a=1");
    ASSERT_EQ(workload.skipped.size(), 2U);
    EXPECT_EQ(workload.skipped[0].name, "gemm");
    EXPECT_EQ(workload.skipped[0].entries, 1U);
    EXPECT_EQ(workload.skipped[1].name, "add");
    EXPECT_EQ(workload.cases[0].source, "w.json: entry 0");
}

TEST(WorkloadJson, AcceptsAByteOrderMark) {
    EXPECT_EQ(text_of(parse_workload_json("\xEF\xBB\xBF{\"moe_quant_group_gemm\": [{\"a\": \"\xC3\xA9\"}]}", "w.json")),
              "a='\xC3\xA9'");
}

TEST(WorkloadJson, WrongTuplesNameFileEntryAndKey) {
    const std::string_view where = "w.json: entry 1: key \"a.b\"";
    EXPECT_TRUE(entry_fails(R"({"a": 1}, {"a.b": [[1, 2], [3]]})", where, "[3]", "tuples of 2 values"));
    EXPECT_TRUE(entry_fails(R"({"a": 1}, {"a.b": [[1, 2, 3]]})", where, "[1,2,3]", "tuples of 2 values"));
    EXPECT_TRUE(entry_fails(R"({"a": 1}, {"a.b": [1, 2]})", where, "1", "tuples of 2 values"));
    EXPECT_TRUE(entry_fails(R"({"a": 1}, {"a.b": "ab"})", where, "ab", "tuples of 2 values"));
}

TEST(WorkloadJson, EntriesAreObjectsAndOpsAreLists) {
    EXPECT_TRUE(entry_fails("3", "w.json: entry 0", "3", "an object"));
    EXPECT_TRUE(text_fails(R"({"moe_quant_group_gemm": {"a": 1}})", "w.json: key \"moe_quant_group_gemm\"", "{\"a\":1}",
                           "a list of entries"));
    EXPECT_TRUE(text_fails("[1]", "w.json:1:1", "[1]", "an object"));
}

TEST(WorkloadJson, BrokenTextNamesLineAndColumn) {
    EXPECT_TRUE(text_fails("", "w.json:1:1", "unexpected end of input", "JSON"));
    EXPECT_TRUE(text_fails("{\"cases\": [\n{\"a\": 1", "w.json:2:8", "unexpected end of input", "JSON"));
    EXPECT_TRUE(text_fails("{\"cases\": [NaN]}", "w.json:1:12", "invalid literal", "JSON"));
    EXPECT_TRUE(text_fails("{\"cases\": [{\"a\": Infinity}]}", "w.json:1:18", "invalid literal", "JSON"));
    EXPECT_TRUE(text_fails("{\"cases\": [{\"a\": \"\xFF\"}]}", "w.json:1:19", "UTF-8", "JSON"));
    EXPECT_TRUE(text_fails("{\"a\": 1e999}", "w.json", "1e999", "JSON"));
}

TEST(WorkloadJson, DepthIsLimited) {
    const std::string deep = "{\"cases\": " + std::string(100'000, '[');
    EXPECT_TRUE(text_fails(deep, "w.json:1:74", "a deeper level", "at most 64 levels"));
    EXPECT_TRUE(text_fails(std::string(65, '{'), "w.json:1:65", "a deeper level", "at most 64 levels"));
    // Brackets in texts do not count.
    EXPECT_EQ(expand("{\"a\": \"" + std::string(100, '[') + "\\\"[\"}").size(), 100U + 6U);
}

TEST(WorkloadJson, KeysAreLimited) {
    std::string entry = "{";
    for (int i = 0; i < 1001; ++i) {
        entry += fmt::format("{}\"k{}\": {}", i == 0 ? "" : ", ", i, i);
    }
    EXPECT_THROW((void)expand(entry + "}"), Error);
    EXPECT_THROW((void)expand("{\"" + std::string(1000, '.') + "\": []}"), Error);
}

TEST(WorkloadJson, TheProductIsLimitedBeforeItIsBuilt) {
    std::string entry = "{\"a\": [0";
    for (int i = 1; i < 100; ++i) {
        entry += fmt::format(", {}", i);
    }
    entry += "]";
    const std::string values = entry.substr(6);
    for (const char* key : {"b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}) {
        entry += fmt::format(", \"{}\": {}", key, values);
    }
    EXPECT_TRUE(throws_error(ErrorCode::overflow, "dir/moe_quant_group_gemm.json: entry 0", "cases",
                             "at most 100000 cases", [&] { (void)expand(entry + "}"); }));
    // One case of a long text is nothing; thousands of it are.
    const std::string text = "\"" + std::string(1'000'000, 'x') + "\"";
    EXPECT_NO_THROW((void)expand("{\"a\": " + text + ", \"b\": [1, 2]}"));
    EXPECT_THROW((void)expand("{\"a\": " + text + ", \"b\": " + values + ", \"c\": " + values + "}"), Error);
}

TEST(WorkloadJson, TheSuitesFileHolds1380Cases) {
    const Workload workload = read_workload(std::string(MOEGEMM_WORKLOADS) + "/xpu_perf/moe_quant_group_gemm.json");
    EXPECT_EQ(workload.cases.size(), 1380U);
    EXPECT_TRUE(workload.skipped.empty());
    EXPECT_EQ(text_of({{workload.cases[1]}, {}}),
              "arg_type='llm' ep_size=4 num_tokens=2 dtype='bfloat16' w_dtype='bfloat16' compute_dtype='bfloat16' "
              "dst_dtype='bfloat16' num_experts=128 topk=8 hidden_size=4096 new_hidden_size=2048");
    EXPECT_EQ(
        text_of({{workload.cases.back()}, {}}),
        "arg_type='llm' ep_size=16 num_tokens=131072 dtype='mxfloat4' w_dtype='mxfloat4' compute_dtype='mxfloat4' "
        "dst_dtype='bfloat16' num_experts=128 topk=8 hidden_size=2048 new_hidden_size=4096");
}

TEST(TextFile, SaysWhyAFileCannotBeRead) {
    EXPECT_TRUE(throws_error(ErrorCode::io, "/nonexistent/w.json", "No such file", "can be read",
                             [] { (void)read_workload("/nonexistent/w.json"); }));
    EXPECT_TRUE(throws_error(ErrorCode::io, "/tmp", "a folder", "a file", [] { (void)read_text_file("/tmp"); }));
    EXPECT_TRUE(throws_error(ErrorCode::io, "/dev/zero", "more than 16777216 bytes", "at most 16 MiB",
                             [] { (void)read_text_file("/dev/zero"); }));
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "workload file", "w.yaml", ".json or .csv",
                             [] { (void)read_workload("w.yaml"); }));
}

TEST(TextFile, FindsInvalidUtf8) {
    EXPECT_EQ(find_invalid_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), std::string_view::npos);
    for (const std::string_view bad :
         {"a\xFF", "a\xC0\x80", "a\xE0\x80\x80", "a\xED\xA0\x80", "a\xF4\x90\x80\x80", "a\xC3", "a\xE2\x82", "a\x80"}) {
        EXPECT_EQ(find_invalid_utf8(bad), 1U);
    }
    EXPECT_EQ(printable("a\nb\xFF\xC3\xA9"), "a?b?\xC3\xA9");
    EXPECT_EQ(printable("abcdef", 3), "abc…");
}

}  // namespace
}  // namespace moegemm::bench
