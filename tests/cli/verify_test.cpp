// moegemm verify on the conformance vectors and on folders that are none.
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "cli/child.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

namespace fs = std::filesystem;

const std::string vectors = MOEGEMM_TEST_DATA "/vectors";

std::string last_line(const std::string& text) {
    const std::vector<std::string> lines = lines_of(text);
    return lines.empty() ? "" : lines.back();
}

TEST(Verify, EveryVectorPassesForCpuAndReference) {
    ChildOptions options;
    options.time_limit = 600;  // sanitizers are slow
    const ChildResult result = run_moegemm({"verify", vectors, "--provider", "cpu,reference"}, options);
    EXPECT_EQ(result.status, 0) << result.out;
    EXPECT_EQ(last_line(result.out), "74 passed, 0 failed, 0 skipped") << result.out << result.err;
    EXPECT_EQ(lines_of(result.out).size(), 75U);
}

TEST(Verify, TakesOneCase) {
    const ChildResult result = run_moegemm({"verify", vectors + "/int8_uneven", "--provider", "reference"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(last_line(result.out), "1 passed, 0 failed, 0 skipped") << result.out;
    EXPECT_NE(result.out.find("int8_uneven"), std::string::npos);
}

TEST(Verify, AMissingFolderIsNamed) {
    const ScratchFolder scratch;
    for (const std::string& folder : {scratch / "missing", scratch.path().string()}) {
        const ChildResult result = run_moegemm({"verify", folder});
        EXPECT_EQ(result.status, 2);
        EXPECT_NE(result.err.find(folder), std::string::npos) << result.err;
        EXPECT_EQ(last_line(result.out), "0 passed, 0 failed, 0 skipped");
    }
}

TEST(Verify, AMalformedCaseIsNamedAndTheNextOneRuns) {
    const ScratchFolder scratch;
    fs::copy(vectors + "/int8_uneven", scratch / "a");
    fs::copy(vectors + "/int8_uneven", scratch / "b");
    fs::resize_file(scratch / "a/experts_weight.bin", 100);
    const ChildResult result = run_moegemm({"verify", scratch.path().string(), "--provider", "reference"});
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.err.find((scratch / "a") + ": tensor experts_weight"), std::string::npos) << result.err;
    EXPECT_EQ(last_line(result.out), "1 passed, 1 failed, 0 skipped") << result.out;
}

TEST(Verify, AWrongExpectationFails) {
    const ScratchFolder scratch;
    fs::copy(vectors + "/int8_uneven", scratch / "a");
    const auto size = static_cast<std::size_t>(fs::file_size(scratch / "a/y.bin"));
    std::ofstream(scratch / "a/y.bin", std::ios::binary) << std::string(size, '\x3F');
    const ChildResult result = run_moegemm({"verify", scratch / "a", "--provider", "cpu,reference"});
    EXPECT_EQ(result.status, 1) << result.err;
    EXPECT_NE(result.out.find("failed "), std::string::npos);
    EXPECT_EQ(last_line(result.out), "0 passed, 2 failed, 0 skipped") << result.out;
}

}  // namespace
}  // namespace moegemm::test
