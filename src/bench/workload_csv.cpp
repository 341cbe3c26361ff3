#include "bench/workload.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "bench/record.hpp"
#include "bench/text_file.hpp"

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

constexpr std::string_view op_column = "task_name";
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::size_t max_columns = 1000;

/// Reads CSV records one by one.
class CsvReader {
public:
    CsvReader(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

    /// The fields of the next line that is not blank.
    /// \return false at the end of the text
    bool next(std::vector<std::string>& fields) {
        do {
            if (position_ == text_.size()) {
                return false;
            }
            line_ = next_line_;
            read_record(fields);
        } while (fields.size() == 1 && fields.front().empty());
        return true;
    }

    /// Where the fields that next() gave begin: "file:line".
    [[nodiscard]] std::string where() const { return fmt::format("{}:{}", file_, line_); }

    [[noreturn]] void fail(std::string value, std::string allowed) const {
        throw Error(ErrorCode::parse, where(), std::move(value), std::move(allowed));
    }

private:
    [[nodiscard]] bool at(char c) const noexcept { return position_ < text_.size() && text_[position_] == c; }

    void read_record(std::vector<std::string>& fields) {
        fields.clear();
        fields.push_back(read_field());
        while (at(',')) {
            ++position_;
            if (fields.size() == max_columns) {
                fail("one more column", fmt::format("at most {} columns", max_columns));
            }
            fields.push_back(read_field());
        }
        if (at('\n')) {
            ++position_;
            ++next_line_;
        } else if (position_ < text_.size()) {
            fail("text after a closing quote", "a comma or the end of the line");
        }
    }

    std::string read_field() {
        skip_spaces();
        if (at('"')) {
            std::string value = read_quoted();
            skip_spaces();
            if (at('\r')) {
                ++position_;
            }
            return value;
        }
        const std::size_t start = position_;
        position_ = std::min(text_.find_first_of(",\n", start), text_.size());
        std::size_t end = position_;
        while (end > start && (text_[end - 1] == ' ' || text_[end - 1] == '\t' || text_[end - 1] == '\r')) {
            --end;
        }
        return std::string(text_.substr(start, end - start));
    }

    std::string read_quoted() {
        std::string value;
        for (++position_; position_ < text_.size(); ++position_) {
            const char c = text_[position_];
            if (c == '"') {
                if (text_.substr(position_, 2) != "\"\"") {
                    ++position_;
                    return value;
                }
                ++position_;
            }
            next_line_ += c == '\n' ? 1 : 0;
            value += c;
        }
        fail("a quoted field that does not end", "a closing quote");
    }

    void skip_spaces() noexcept {
        while (at(' ') || at('\t')) {
            ++position_;
        }
    }

    std::string_view text_;
    std::string file_;
    std::size_t position_ = 0;
    std::size_t line_ = 1;
    std::size_t next_line_ = 1;
};

/// CSV is text: neither control characters other than tab and line ends, nor bytes that are no UTF-8.
void check_text(std::string_view text, const std::string& file) {
    const auto control = std::find_if(text.begin(), text.end(), [](char c) {
        return (c >= 0 && c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
    });
    const std::size_t offset = std::min(find_invalid_utf8(text), static_cast<std::size_t>(control - text.begin()));
    if (offset < text.size()) {
        throw Error(ErrorCode::parse, fmt::format("{}:{}", file, line_and_column(text, offset)),
                    fmt::format("byte 0x{:02x}", static_cast<unsigned char>(text[offset])), "UTF-8 text");
    }
}

void count_skipped(std::vector<SkippedOp>& skipped, const std::string& name) {
    const auto found =
        std::find_if(skipped.begin(), skipped.end(), [&](const SkippedOp& op) { return op.name == name; });
    if (found == skipped.end()) {
        skipped.push_back({name, 1, ""});
    } else {
        ++found->entries;
    }
}

}  // namespace

Workload parse_workload_csv(std::string_view text, const std::filesystem::path& file) {
    const std::string name = printable(file.string(), 4096);
    check_text(text, name);
    if (text.starts_with(byte_order_mark)) {
        text.remove_prefix(byte_order_mark.size());
    }
    CsvReader reader(text, name);
    std::vector<std::string> header;
    if (!reader.next(header)) {
        reader.fail("no header", fmt::format("a line of column names, {} among them", op_column));
    }
    const auto op_position =
        static_cast<std::size_t>(std::find(header.begin(), header.end(), op_column) - header.begin());
    if (op_position == header.size() && file.stem() != op_name) {
        reader.fail("no column task_name",
                    fmt::format("a column task_name that names the op, or the file's name {}.csv", op_name));
    }
    Workload workload;
    std::vector<std::string> fields;
    std::size_t bytes = 0;
    while (reader.next(fields)) {
        if (fields.size() != header.size()) {
            reader.fail(fmt::format("{} fields", fields.size()), fmt::format("{}, as in the header", header.size()));
        }
        if (op_position < fields.size() && fields[op_position] != op_name) {
            count_skipped(workload.skipped, printable(fields[op_position]));
            continue;
        }
        Case result;
        result.source = reader.where();
        bytes += sizeof(Case) + result.source.size();
        for (std::size_t i = 0; i < header.size(); ++i) {
            if (i == op_position || fields[i].empty()) {
                continue;
            }
            bytes += sizeof(ArgumentPair) + header[i].size() + fields[i].size();
            const auto same = std::find_if(result.arguments.begin(), result.arguments.end(),
                                           [&](const ArgumentPair& pair) { return pair.first == header[i]; });
            if (same != result.arguments.end()) {
                same->second = parse_argument_value(fields[i]);
            } else {
                result.arguments.emplace_back(header[i], parse_argument_value(fields[i]));
            }
        }
        workload.cases.push_back(std::move(result));
        if (workload.cases.size() > max_workload_cases || bytes > max_workload_bytes) {
            reader.fail("one more case", fmt::format("at most {} cases and {} MiB a file: split it", max_workload_cases,
                                                     max_workload_bytes >> 20U));
        }
    }
    return workload;
}

}  // namespace moegemm::bench
