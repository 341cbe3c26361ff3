/// \file
/// Reading text that a user wrote: whole files with a limit on their size, and JSON with limits on its shape, so that
/// no input can take unbounded memory, time or stack.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace moegemm::bench {

/// The largest text file that is read, in bytes: real workload files and manifests have a few thousand.
inline constexpr std::size_t max_text_bytes = std::size_t{16} << 20U;
/// How deep JSON may nest. Workload files and manifests nest to 5.
inline constexpr std::size_t max_json_depth = 64;
/// How many keys an object may have.
inline constexpr std::size_t max_json_keys = 1000;

/// The whole of a file.
/// \throws Error io naming the file: missing, a folder, not readable, or above max_text_bytes
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path);

/// Where a byte of a text lies, for people: "line:column", both from 1.
[[nodiscard]] std::string line_and_column(std::string_view text, std::size_t offset);

/// The offset of the first byte that no valid UTF-8 text holds at its place, or npos.
[[nodiscard]] std::size_t find_invalid_utf8(std::string_view text) noexcept;

/// Text from outside, fit for one line of a message: cut to `limit` bytes, control and invalid bytes as '?'.
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit = 80);

/// JSON (RFC 8259, with or without a byte order mark) as a document whose objects keep the order of their keys. Of keys
/// that come twice, the last one's value stands at the first one's place, as in Python's json.
/// \param file how messages call the text
/// \throws Error parse naming file, line and column: not JSON, not UTF-8, NaN or Infinity, nested deeper than
///         max_json_depth, an object with more than max_json_keys keys
[[nodiscard]] nlohmann::ordered_json parse_json(std::string_view text, std::string_view file);

}  // namespace moegemm::bench
