// Help, exit statuses and one-line errors of every sub-command.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cli/child.hpp"

namespace moegemm::test {
namespace {

const std::vector<std::string> commands{"bench", "verify", "providers", "variants", "explain", "doctor"};

/// One line on standard error that names what was wrong, nothing on standard output, status 2.
void expect_usage_error(const std::vector<std::string>& arguments, const std::string& part) {
    const ChildResult result = run_moegemm(arguments);
    EXPECT_EQ(result.status, 2) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(lines_of(result.err).size(), 1U) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
}

TEST(Help, EveryCommandHasExamples) {
    for (const std::string& command : commands) {
        const ChildResult result = run_moegemm({command, "--help"});
        EXPECT_EQ(result.status, 0) << command;
        EXPECT_EQ(result.err, "") << command;
        EXPECT_NE(result.out.find("Examples:\n  moegemm " + command), std::string::npos) << result.out;
    }
    const ChildResult result = run_moegemm({"--help"});
    EXPECT_EQ(result.status, 0);
    for (const std::string& command : commands) {
        EXPECT_NE(result.out.find("\n  " + command + " "), std::string::npos) << result.out;
    }
}

TEST(Help, BenchListsItsOptions) {
    const ChildResult result = run_moegemm({"bench", "--help"});
    for (const char* option : {"--provider", "--device", "--variant", "--filter", "--limit", "--routing", "--seed",
                               "--out", "--verify", "--cache", "--threads", "--min-time", "--max-time", "--inexact",
                               "--graph", "--dry-run", "--format", "--plugin"}) {
        EXPECT_NE(result.out.find(option), std::string::npos) << option;
    }
}

TEST(Help, Version) {
    const ChildResult result = run_moegemm({"--version"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out.rfind("moegemm ", 0), 0U) << result.out;
}

TEST(Usage, UnknownOptionsAndCommands) {
    expect_usage_error({}, "moegemm --help");
    expect_usage_error({"benchmark"}, "moegemm --help");
    for (const std::string& command : commands) {
        expect_usage_error({command, "--no-such-option"}, "moegemm " + command + " --help");
    }
    expect_usage_error({"verify"}, "DIR");
    expect_usage_error({"explain"}, "key=value");
}

TEST(Usage, BenchOptionsSayWhatIsAllowed) {
    expect_usage_error({"bench", "--provider", "gpu"}, "of reference, cpu, cuda, hopper");
    expect_usage_error({"bench", "--variant", "int4"}, "of bf16, int8");
    expect_usage_error({"bench", "--filter", "tokens=1"}, "num_tokens");
    expect_usage_error({"bench", "--filter", "num_tokens"}, "key=value");
    expect_usage_error({"bench", "--verify", "all"}, "sample");
    expect_usage_error({"bench", "--cache", "hot"}, "cold");
    expect_usage_error({"bench", "--format", "xml"}, "xpu-perf");
    expect_usage_error({"bench", "--format", "xpu-perf"}, "--out DIR");
    expect_usage_error({"bench", "--routing", "skewed"}, "balanced");
    expect_usage_error({"bench", "--threads", "0"}, "--threads");
    expect_usage_error({"bench", "--limit", "-1"}, "--limit");
    expect_usage_error({"bench", "--seed", "x"}, "--seed");
    expect_usage_error({"bench", "--max-time", "-1"}, "max-time");
    expect_usage_error({"bench", "--device", "tpu"}, "cpu");
}

TEST(Usage, AKnownProviderThatIsNotHereSaysWhy) {
    const ChildResult result = run_moegemm({"bench", "--provider", "flashinfer", "--dry-run"});
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.err.find("one that is available"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("to have this one: "), std::string::npos) << result.err;
}

}  // namespace
}  // namespace moegemm::test
