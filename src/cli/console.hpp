/// \file
/// The two streams: results on standard output, everything else on standard error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moegemm::cli {

/// One line on standard error, after the program's name; line breaks within become spaces.
void say(std::string_view message);

/// A line that is overwritten by the next one. Shows nothing where standard error is no terminal.
class StatusLine {
public:
    StatusLine();
    ~StatusLine() { clear(); }
    StatusLine(const StatusLine&) = delete;
    StatusLine& operator=(const StatusLine&) = delete;
    void show(std::string_view text);
    void clear();

private:
    bool terminal_;
    bool shown_ = false;
};

/// Aligned columns on standard output; the first row is the header, the last column is not padded.
void print_columns(const std::vector<std::vector<std::string>>& rows);

/// Bytes with a binary unit: "4.0 MiB".
[[nodiscard]] std::string bytes_text(std::int64_t bytes);

/// Flushes standard output.
/// \throws Error io where something of it was lost: a full disk, a closed pipe
void flush_results();

}  // namespace moegemm::cli
