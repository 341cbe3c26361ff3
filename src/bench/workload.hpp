/// \file
/// Workload files in xpu-perf's grammar: lists of cases as key-value pairs, not yet checked against the op.
///
/// Source: xpu-perf, src/xpu_perf/micro_perf/core/common_utils.py (parse_json_file, get_cartesian_product,
/// parse_csv_file).
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/case.hpp"

namespace moegemm::bench {

/// The most cases that one file may expand to.
inline constexpr std::size_t max_workload_cases = 100'000;
/// The most memory, in bytes, that the cases of one file may take.
inline constexpr std::size_t max_workload_bytes = std::size_t{512} << 20U;

/// A key and its value, as Case holds them.
using ArgumentPair = std::pair<std::string, ArgumentValue>;

/// Another op that a file holds.
struct SkippedOp {
    std::string name;
    std::size_t entries;  ///< JSON: entries of its list; CSV: lines
    std::string hint;     ///< what to do if it was meant to be this op; may be empty
};

/// What a workload file holds.
struct Workload {
    std::vector<Case> cases;
    std::vector<SkippedOp> skipped;  ///< in the file's order
};

/// Reads a .json or .csv file. The key "routing", which is no argument of the op, becomes Case::routing.
/// \throws Error io where it cannot be read; invalid_argument for another suffix; parse as the two functions below,
///         or for a routing that is no text
[[nodiscard]] Workload read_workload(const std::filesystem::path& path);

/// `{"cases": [entries]}`, whose op is the file's stem, or `{"<op>": [entries], …}`. In an entry a scalar is a list of
/// one; the cases are the cartesian product of the lists in the order of the keys, the last key fastest. A dotted key
/// ("num_experts.topk") holds a list of tuples, split by position; dotted keys come after plain ones and overwrite
/// them. An entry whose arg_type holds "batch" is one case as it stands. A value that is itself a list or an object
/// becomes its JSON text.
/// \param file how messages call the text; its stem names the op of "cases"
/// \throws Error parse naming file and position, or file, entry and key
[[nodiscard]] Workload parse_workload_json(std::string_view text, const std::filesystem::path& file);

/// A header line, then one case a line (RFC 4180; a byte order mark, CRLF, blank lines and spaces around unquoted
/// fields are accepted). The column task_name names the op and may be missing where the file's stem is the op. Values
/// are converted by parse_argument_value; an empty field leaves its key out.
/// \param file how messages call the text
/// \throws Error parse naming file and line
[[nodiscard]] Workload parse_workload_csv(std::string_view text, const std::filesystem::path& file);

}  // namespace moegemm::bench
