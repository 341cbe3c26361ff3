#include "bench/text_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

/// Length of the UTF-8 sequence that starts at `offset`, 0 where none does (RFC 3629, section 4).
std::size_t utf8_length(std::string_view text, std::size_t offset) noexcept {
    const auto byte = [&](std::size_t index) {
        return offset + index < text.size() ? static_cast<std::uint8_t>(text[offset + index]) : std::uint8_t{0};
    };
    const auto within = [&](std::size_t index, unsigned low, unsigned high) {
        return byte(index) >= low && byte(index) <= high;
    };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return within(1, 0x80, 0xBF) ? 2 : 0;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        // Neither overlong forms (E0 below A0) nor surrogates (ED from A0).
        const bool second = within(1, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF);
        return second && within(2, 0x80, 0xBF) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        const bool second = within(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF);
        return second && within(2, 0x80, 0xBF) && within(3, 0x80, 0xBF) ? 4 : 0;
    }
    return 0;
}

/// Looks at brackets and colons outside of strings only: whether it is JSON at all is the parser's business. The parser
/// itself has no limits, and searches the keys of an ordered object one by one.
void check_shape(std::string_view text, std::string_view file) {
    const auto fail = [&](std::size_t offset, std::string value, std::string allowed) {
        throw Error(ErrorCode::parse, fmt::format("{}:{}", file, line_and_column(text, offset)), std::move(value),
                    std::move(allowed));
    };
    std::array<std::size_t, max_json_depth> keys{};
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t offset = 0; offset < text.size(); ++offset) {
        const char c = text[offset];
        if (in_string) {
            if (c == '\\') {
                ++offset;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (depth == max_json_depth) {
                fail(offset, "a deeper level", fmt::format("at most {} levels", max_json_depth));
            }
            keys[depth++] = 0;
        } else if ((c == '}' || c == ']') && depth > 0) {
            --depth;
        } else if (c == ':' && depth > 0 && ++keys[depth - 1] > max_json_keys) {
            fail(offset, "one more key", fmt::format("at most {} keys in an object", max_json_keys));
        }
    }
}

/// What the parser says, without its prefix of number and place.
std::string parser_message(std::string_view what) {
    if (const std::size_t prefix = what.find("] "); prefix != std::string_view::npos) {
        what.remove_prefix(prefix + 2);
    }
    if (what.starts_with("parse error")) {
        if (const std::size_t place = what.find(": "); place != std::string_view::npos) {
            what.remove_prefix(place + 2);
        }
    }
    return printable(what, 200);
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
    const auto fail = [&](std::string value, std::string allowed) {
        throw Error(ErrorCode::io, path.string(), std::move(value), std::move(allowed));
    };
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) {
        fail("a folder", "a file");
    }
    errno = 0;
    std::ifstream stream(path, std::ios::binary);
    if (!stream) {
        fail(std::strerror(errno), "a file that can be read");
    }
    std::string text;
    std::array<char, 1U << 16U> block{};
    while (stream.read(block.data(), block.size()) || stream.gcount() > 0) {
        text.append(block.data(), static_cast<std::size_t>(stream.gcount()));
        if (text.size() > max_text_bytes) {
            fail(fmt::format("more than {} bytes", max_text_bytes),
                 fmt::format("a file of at most {} MiB", max_text_bytes >> 20U));
        }
    }
    if (stream.bad()) {
        fail(std::strerror(errno), "a file that can be read");
    }
    return text;
}

std::string line_and_column(std::string_view text, std::size_t offset) {
    const std::string_view before = text.substr(0, std::min(offset, text.size()));
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
    return fmt::format("{}:{}", line, column);
}

std::size_t find_invalid_utf8(std::string_view text) noexcept {
    std::size_t offset = 0;
    while (offset < text.size()) {
        const std::size_t length = utf8_length(text, offset);
        if (length == 0) {
            return offset;
        }
        offset += length;
    }
    return std::string_view::npos;
}

std::string printable(std::string_view text, std::size_t limit) {
    std::string result;
    std::size_t offset = 0;
    while (offset < text.size()) {
        const std::size_t length = utf8_length(text, offset);
        const bool control = length == 1 && (static_cast<std::uint8_t>(text[offset]) < 0x20 || text[offset] == 0x7F);
        const std::string_view piece = length == 0 || control ? "?" : text.substr(offset, length);
        if (result.size() + piece.size() > limit) {
            return result + "…";
        }
        result += piece;
        offset += std::max<std::size_t>(length, 1);
    }
    return result;
}

nlohmann::ordered_json parse_json(std::string_view text, std::string_view file) {
    check_shape(text, file);
    try {
        return nlohmann::ordered_json::parse(text);
    } catch (const nlohmann::ordered_json::parse_error& error) {
        throw Error(ErrorCode::parse,
                    fmt::format("{}:{}", file, line_and_column(text, error.byte > 0 ? error.byte - 1 : 0)),
                    parser_message(error.what()), "JSON in UTF-8");
    } catch (const nlohmann::ordered_json::exception& error) {
        throw Error(ErrorCode::parse, std::string(file), parser_message(error.what()), "JSON in UTF-8");
    }
}

}  // namespace moegemm::bench
