// What a run leaves behind that is interrupted, killed, or out of disk.
#include <csignal>
#include <filesystem>
#include <random>
#include <string>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/child.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

using Json = nlohmann::ordered_json;

/// Hundreds of cases of some milliseconds: a run that is still going when the signal comes.
const std::string long_workload = R"({"moe_quant_group_gemm": [{
    "arg_type": "llm", "num_tokens": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20], "num_experts": 4,
    "topk": [1, 2, 3, 4], "hidden_size": [128, 160, 192, 224, 256], "new_hidden_size": 64,
    "dtype.w_dtype.compute_dtype": [["int8", "int8", "int8"], ["bfloat16", "bfloat16", "bfloat16"]]}]})";

std::vector<std::string> long_run(const ScratchFolder& scratch) {
    return {"bench",      scratch.write("w.json", long_workload),
            "--provider", "cpu",
            "--min-time", "0.05",
            "--max-time", "0.1",
            "--out",      scratch / "out"};
}

/// Every line that ends must parse; without `killed`, every line ends.
std::size_t parse_records(const ScratchFolder& scratch, bool killed) {
    const std::string text = read_file(scratch / "out/records.jsonl");
    if (!killed && !text.empty()) {
        EXPECT_EQ(text.back(), '\n');
    }
    std::vector<std::string> lines = lines_of(text);
    if (!text.empty() && text.back() != '\n') {
        lines.pop_back();
    }
    for (const std::string& line : lines) {
        EXPECT_TRUE(Json::accept(line)) << line;
    }
    return lines.size();
}

class Interrupt : public testing::TestWithParam<int> {};

TEST_P(Interrupt, EndsAfterTheRecordInHand) {
    std::mt19937 random(static_cast<unsigned>(GetParam()));
    for (int round = 0; round < 3; ++round) {
        const ScratchFolder scratch;
        ChildOptions options;
        options.signal = GetParam();
        // The handler is in place long before half a second has passed.
        options.signal_after = 0.5 + 0.001 * static_cast<double>(random() % 2000);
        const ChildResult result = run_moegemm(long_run(scratch), options);
        const bool killed = GetParam() == SIGKILL;
        EXPECT_EQ(result.status, killed ? -SIGKILL : 128 + GetParam()) << result.err;
        EXPECT_LT(parse_records(scratch, killed), 800U);
        if (!killed) {
            EXPECT_TRUE(Json::accept(read_file(scratch / "out/machine.json")));
            EXPECT_NE(result.err.find("interrupted"), std::string::npos) << result.err;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupt, testing::Values(SIGINT, SIGTERM, SIGKILL));

TEST(VerifyInterrupt, StillSaysHowFarItCame) {
    ChildOptions options;
    options.signal = SIGINT;
    options.signal_after = 0.5;
    std::vector<std::string> arguments{"verify", "--provider", "reference"};
    for (int i = 0; i < 200; ++i) {
        arguments.emplace_back(MOEGEMM_TEST_DATA "/vectors");
    }
    const ChildResult result = run_moegemm(arguments, options);
    EXPECT_EQ(result.status, 130);
    const std::vector<std::string> lines = lines_of(result.out);
    ASSERT_FALSE(lines.empty());
    EXPECT_NE(lines.back().find(" passed, 0 failed, 0 skipped"), std::string::npos) << lines.back();
}

TEST(FullDisk, OfTheRecordsIsAnError) {
    const ScratchFolder scratch;
    ChildOptions options;
    options.prepare = [] {
        // A write past the limit fails with EFBIG, as one on a full disk does with ENOSPC.
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{6000, 6000};
        setrlimit(RLIMIT_FSIZE, &limit);
    };
    std::vector<std::string> arguments = long_run(scratch);
    arguments.emplace_back("--dry-run");
    const ChildResult result = run_moegemm(arguments, options);
    EXPECT_EQ(result.status, 1) << result.err;
    EXPECT_NE(result.err.find("records.jsonl"), std::string::npos) << result.err;
    EXPECT_GE(parse_records(scratch, true), 1U);
}

TEST(FullDisk, OfStandardOutputIsAnError) {
    ChildOptions options;
    options.prepare = [] { dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO); };
    for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
             {"variants"}, {"providers", "--json"}, {"bench", "--dry-run"}, {"--help"}}) {
        const ChildResult result = run_moegemm(arguments, options);
        EXPECT_EQ(result.status, 1) << arguments[0];
        EXPECT_NE(result.err.find("standard output"), std::string::npos) << result.err;
    }
}

TEST(FullDisk, AFolderThatCannotBeMadeIsAnError) {
    const ScratchFolder scratch;
    const std::string file = scratch.write("file", "");
    const ChildResult result = run_moegemm({"bench", "--dry-run", "--out", file + "/out"});
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.err.find(file), std::string::npos) << result.err;
}

TEST(BrokenPipe, EndsTheRunQuietly) {
    ChildOptions options;
    options.prepare = [] {
        signal(SIGPIPE, SIG_DFL);
        int ends[2];
        if (pipe(ends) == 0) {
            dup2(ends[1], STDOUT_FILENO);
            close(ends[0]);
            close(ends[1]);
        }
    };
    const ChildResult result = run_moegemm({"variants"}, options);
    EXPECT_EQ(result.status, -SIGPIPE);
    EXPECT_EQ(result.err, "");
}

}  // namespace
}  // namespace moegemm::test
