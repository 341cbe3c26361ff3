// Routings as users spell them: "balanced", "uniform", "zipf:<s>", "counts:<file>".
#include <array>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <moegemm/error.hpp>
#include <moegemm/routing.hpp>

#include "op/gumbel_top_k.hpp"

namespace moegemm {
namespace {

using nlohmann::json;

constexpr std::string_view zipf_prefix = "zipf:";
constexpr std::string_view counts_prefix = "counts:";
constexpr std::string_view counts_allowed = "a JSON array of row counts, integers from 0, one for every global expert";

/// Ample for the counts of RoutingArguments::max_experts experts.
constexpr std::size_t largest_file = std::size_t{16} << 20;

[[noreturn]] void throw_file(ErrorCode code, std::string_view path, std::string_view fault) {
    throw Error(code, "routing", fmt::format("{}{} ({})", counts_prefix, path, fault), std::string(counts_allowed));
}

double parse_exponent(std::string_view text, std::string_view digits) {
    double exponent = 0.0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    const bool whole = fault == std::errc{} && end == digits.data() + digits.size();
    if (!whole || !is_zipf_exponent(exponent)) {
        throw Error(ErrorCode::invalid_argument, "routing", std::string(text),
                    "zipf:<s> with a finite number s from 0, such as zipf:1");
    }
    return exponent;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw_file(ErrorCode::io, path, "cannot be opened");
    }
    std::string text;
    std::array<char, 4096> block{};
    while (file && text.size() <= largest_file) {
        file.read(block.data(), block.size());
        text.append(block.data(), static_cast<std::size_t>(file.gcount()));
    }
    if (file.bad()) {
        throw_file(ErrorCode::io, path, "cannot be read");
    }
    if (text.size() > largest_file) {
        throw_file(ErrorCode::parse, path, fmt::format("larger than {} bytes", largest_file));
    }
    return text;
}

std::vector<std::int64_t> parse_counts(const std::string& path) {
    const std::string text = read_file(path);
    // Nested values are refused as they open: depth costs neither memory nor stack.
    const auto refuse_nesting = [&path](int depth, json::parse_event_t event, const json&) {
        if (event == json::parse_event_t::object_start || (event == json::parse_event_t::array_start && depth > 0)) {
            throw_file(ErrorCode::parse, path, depth > 0 ? "a value within the array is no integer" : "no array");
        }
        return true;
    };
    json array;
    try {
        array = json::parse(text, refuse_nesting);
    } catch (const json::exception& error) {
        throw_file(ErrorCode::parse, path, error.what());
    }
    if (!array.is_array()) {
        throw_file(ErrorCode::parse, path, "no array");
    }
    std::vector<std::int64_t> counts;
    counts.reserve(array.size());
    for (const json& element : array) {
        const bool fits = element.is_number_unsigned() && element.get<std::uint64_t>() <= INT64_MAX;
        if (!fits) {
            throw_file(ErrorCode::parse, path,
                       fmt::format("[{}] = {}", counts.size(),
                                   element.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 40)));
        }
        counts.push_back(element.get<std::int64_t>());
    }
    return counts;
}

}  // namespace

Routing Routing::parse(std::string_view text, std::uint64_t seed) {
    Routing routing;
    routing.seed = seed;
    routing.text = std::string(text);
    if (text == "balanced") {
        routing.kind = RoutingKind::balanced;
    } else if (text == "uniform") {
        routing.kind = RoutingKind::uniform;
    } else if (text.substr(0, zipf_prefix.size()) == zipf_prefix) {
        routing.kind = RoutingKind::zipf;
        routing.exponent = parse_exponent(text, text.substr(zipf_prefix.size()));
    } else if (text.substr(0, counts_prefix.size()) == counts_prefix) {
        routing.kind = RoutingKind::counts;
        routing.counts = parse_counts(std::string(text.substr(counts_prefix.size())));
    } else {
        throw Error(ErrorCode::invalid_argument, "routing", routing.text,
                    "balanced, uniform, zipf:<s> or counts:<file>");
    }
    return routing;
}

}  // namespace moegemm
