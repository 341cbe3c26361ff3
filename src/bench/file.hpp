/// \file
/// A file that is written without a buffer: what was written is in the kernel's hands when write() returns.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace moegemm::bench {

/// An open file descriptor.
class OutputFile {
public:
    /// Creates the file and its folders, or empties it.
    /// \throws Error io naming the path and the system's reason
    [[nodiscard]] static OutputFile create(const std::filesystem::path& path);
    /// The process's standard output; not closed at the end.
    [[nodiscard]] static OutputFile standard_output();

    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&& other) noexcept;
    ~OutputFile();

    /// Hands all of `text` to one write(2), so that a process that is killed leaves whole lines; continues only where
    /// the system took a part.
    /// \throws Error io naming the path and the system's reason (a full disk, say)
    void write(std::string_view text);

private:
    OutputFile(int descriptor, bool owned, std::string name);
    void close() noexcept;

    int descriptor_ = -1;
    bool owned_ = false;
    std::string name_;
};

}  // namespace moegemm::bench
