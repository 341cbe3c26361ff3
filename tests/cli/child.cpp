#include "cli/child.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace moegemm::test {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void become_moegemm(const std::vector<std::string>& arguments, const ChildOptions& options, int out,
                                 int err) {
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    if (options.prepare) {
        options.prepare();
    }
    std::vector<std::string> words{options.program.empty() ? MOEGEMM_PROGRAM : options.program.string()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    execv(pointers[0], pointers.data());
    _exit(127);
}

/// Reads both pipes to their ends, and signals on time.
void collect(pid_t child, int out, int err, const ChildOptions& options, ChildResult& result) {
    const auto start = Clock::now();
    bool signalled = options.signal == 0;
    bool killed = false;
    std::array<pollfd, 2> pipes{{{out, POLLIN, 0}, {err, POLLIN, 0}}};
    while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
        const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        if (!signalled && elapsed >= options.signal_after) {
            kill(child, options.signal);
            signalled = true;
        }
        if (!killed && elapsed >= options.time_limit) {
            ADD_FAILURE() << "the program did not end within " << options.time_limit << " s";
            kill(child, SIGKILL);
            killed = true;
        }
        poll(pipes.data(), pipes.size(), 5);
        for (pollfd& pipe : pipes) {
            if (pipe.fd < 0 || pipe.revents == 0) {
                continue;
            }
            std::array<char, 65536> block{};
            const ssize_t size = read(pipe.fd, block.data(), block.size());
            if (size > 0) {
                (pipe.fd == out ? result.out : result.err).append(block.data(), static_cast<std::size_t>(size));
            } else if (size == 0 || errno != EINTR) {
                pipe.fd = -1;
            }
        }
    }
}

}  // namespace

ChildResult run_moegemm(const std::vector<std::string>& arguments, const ChildOptions& options) {
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0) {
        ADD_FAILURE() << "no pipe";
        return {};
    }
    const pid_t child = fork();
    if (child == 0) {
        become_moegemm(arguments, options, out[1], err[1]);
    }
    close(out[1]);
    close(err[1]);
    ChildResult result;
    collect(child, out[0], err[0], options, result);
    close(out[0]);
    close(err[0]);
    int status = 0;
    waitpid(child, &status, 0);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return result;
}

std::string read_file(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

}  // namespace moegemm::test
