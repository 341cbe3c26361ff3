/// \file
/// Which cases of a workload are wanted.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/workload.hpp"

namespace moegemm::bench {

/// A key, and the values of it that are wanted.
struct Filter {
    std::string key;
    std::vector<ArgumentValue> values;
};

/// Reads "key=value,key=value|value,…" and appends a filter for each key.
/// \throws Error invalid_argument ("--filter") for a text of another form
void parse_filter(std::string_view text, std::vector<Filter>& filters);

/// Reads "variant,variant,…".
/// \throws Error invalid_argument ("--variant") for a name that is none, with the names that there are
[[nodiscard]] std::vector<Variant> parse_variants(std::string_view text);

/// Keeps the cases that every filter wants and whose quadruple names one of the variants (none given: every case).
/// Values are compared as numbers where both are; a key that a case leaves out has the op's default.
/// \throws Error invalid_argument ("--filter") for a key that no case has, with the keys that there are
void select_cases(std::vector<Case>& cases, std::span<const Filter> filters, std::span<const Variant> wanted);

}  // namespace moegemm::bench
