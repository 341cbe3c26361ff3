#include "cli/nvcc.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace moegemm::cli {
namespace {

namespace fs = std::filesystem;

/// A word of the shell that means `text`.
std::string quoted(const std::string& text) {
    std::string word = "'";
    for (const char c : text) {
        word += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return word + "'";
}

/// The release that `nvcc --version` speaks of, as "13.0"; empty where it does not run or is none.
std::string release_of(const std::string& file) {
    const std::string command = quoted(file) + " --version 2>/dev/null";
    const std::unique_ptr<FILE, int (*)(FILE*)> output(popen(command.c_str(), "r"), pclose);
    std::string text;
    std::array<char, 512> block{};
    while (output && std::fgets(block.data(), static_cast<int>(block.size()), output.get()) != nullptr) {
        text += block.data();
    }
    constexpr std::string_view word = "release ";
    const std::size_t at = text.find(word);
    if (at == std::string::npos) {
        return "";
    }
    const std::size_t from = at + word.size();
    return text.substr(from, text.find_first_not_of("0123456789.", from) - from);
}

/// "12.8" as numbers that compare.
std::pair<int, int> version(std::string_view text) {
    std::pair<int, int> numbers{0, 0};
    const char* const end = text.data() + text.size();
    const auto [dot, failure] = std::from_chars(text.data(), end, numbers.first);
    if (failure == std::errc() && dot != end) {
        std::from_chars(dot + 1, end, numbers.second);
    }
    return numbers;
}

std::vector<fs::path> candidates(const fs::path& program_folder) {
    std::vector<fs::path> folders{program_folder / "cuda-toolkit/bin",
                                  program_folder.parent_path() / "cuda-toolkit/bin"};
    const char* path = std::getenv("PATH");
    for (const std::string& folder : CLI::detail::split(path == nullptr ? "" : path, ':')) {
        folders.emplace_back(folder);
    }
    folders.emplace_back("/usr/local/cuda/bin");
    std::vector<fs::path> files;
    for (const fs::path& folder : folders) {
        std::error_code ignored;
        if (fs::is_regular_file(folder / "nvcc", ignored)) {
            files.push_back(folder / "nvcc");
        }
    }
    return files;
}

}  // namespace

Nvcc find_nvcc(const fs::path& program_folder) {
    const char* named = std::getenv("CUDACXX");
    const bool is_named = named != nullptr && *named != '\0';
    std::string reason;
    for (const fs::path& file : is_named ? std::vector<fs::path>{named} : candidates(program_folder)) {
        const std::string release = release_of(file.string());
        if (!release.empty() && version(release) >= version(MOEGEMM_CUDA_LEAST)) {
            return {file.string(), release, ""};
        }
        if (reason.empty()) {
            reason = release.empty()
                         ? fmt::format("{} is no nvcc that runs", file.string())
                         : fmt::format("{} is {}, and {} is the least", file.string(), release, MOEGEMM_CUDA_LEAST);
        }
    }
    return {"", "",
            is_named ? reason + ": name another by CUDACXX, or unset it"
                     : fmt::format("{}: ./dev cuda fetches one", reason.empty() ? "no nvcc was found" : reason)};
}

}  // namespace moegemm::cli
