/// \file
/// Runs the real program as a child process, with an end in any case.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace moegemm::test {

/// What a child process left behind.
struct ChildResult {
    int status = -1;  ///< the exit status, or -N where signal N ended it
    std::string out;
    std::string err;
};

/// What else to do to a child.
struct ChildOptions {
    std::filesystem::path program;  ///< a copy of the program in another folder; empty for the program itself
    int signal = 0;                 ///< sent after `signal_after`; 0 for none
    double signal_after = 0;        ///< seconds
    double time_limit = 120;        ///< seconds; then it is killed, and the test fails
    std::function<void()> prepare;  ///< runs in the child before the program does: limits, signals
};

/// Runs `moegemm ARGUMENTS…`.
[[nodiscard]] ChildResult run_moegemm(const std::vector<std::string>& arguments, const ChildOptions& options = {});

[[nodiscard]] std::string read_file(const std::filesystem::path& path);
[[nodiscard]] std::vector<std::string> lines_of(const std::string& text);

}  // namespace moegemm::test
