#include "bench/workload_filter.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bench/text_file.hpp"

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    std::size_t end = 0;
    do {
        end = std::min(text.find(separator), text.size());
        parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    } while (end < text.size() || !text.empty());
    return parts;
}

/// What a key means where a case leaves it out; nothing for a key that has no default.
std::optional<ArgumentValue> default_value(std::string_view key) {
    const Arguments defaults;
    if (key == "arg_type") {
        return defaults.arg_type;
    }
    if (key == "ep_size") {
        return defaults.routing.ep_size;
    }
    if (key == "ep_rank") {
        return defaults.routing.ep_rank;
    }
    if (key == "dtype") {
        return defaults.dtype;
    }
    if (key == "w_dtype") {
        return defaults.w_dtype;
    }
    if (key == "compute_dtype") {
        return defaults.compute_dtype;
    }
    if (key == "dst_dtype") {
        return defaults.dst_dtype;
    }
    return std::nullopt;
}

std::optional<ArgumentValue> value_of(const Case& item, std::string_view key) {
    const auto found = std::find_if(item.arguments.begin(), item.arguments.end(),
                                    [&](const ArgumentPair& pair) { return pair.first == key; });
    return found == item.arguments.end() ? default_value(key) : found->second;
}

std::optional<double> as_number(const ArgumentValue& value) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
        return static_cast<double>(*integer);
    }
    if (const auto* number = std::get_if<double>(&value)) {
        return *number;
    }
    return std::nullopt;
}

bool equal(ArgumentValue left, const ArgumentValue& right) {
    if (const auto* text = std::get_if<std::string>(&left)) {
        left = parse_argument_value(std::string(*text));
    }
    const std::optional<double> left_number = as_number(left);
    const std::optional<double> right_number = as_number(right);
    return left_number && right_number ? *left_number == *right_number : left == right;
}

bool matches(const Case& item, const Filter& filter) {
    const std::optional<ArgumentValue> value = value_of(item, filter.key);
    return value && std::any_of(filter.values.begin(), filter.values.end(),
                                [&](const ArgumentValue& wanted) { return equal(*value, wanted); });
}

/// Nothing where the case's types name no variant.
std::optional<Variant> variant_of(const Case& item) {
    const auto text = [&](std::string_view key) {
        const std::optional<ArgumentValue> value = value_of(item, key);
        const auto* name = value ? std::get_if<std::string>(&*value) : nullptr;
        return name == nullptr ? std::string() : *name;
    };
    try {
        return resolve_variant(text("dtype"), text("w_dtype"), text("compute_dtype"), text("dst_dtype")).variant;
    } catch (const Error&) {
        return std::nullopt;
    }
}

void check_keys(std::span<const Case> cases, std::span<const Filter> filters) {
    std::vector<std::string> keys;
    for (const Case& item : cases) {
        for (const auto& [key, value] : item.arguments) {
            if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
                keys.push_back(key);
            }
        }
    }
    for (const Filter& filter : filters) {
        if (!default_value(filter.key) && std::find(keys.begin(), keys.end(), filter.key) == keys.end()) {
            throw Error(ErrorCode::invalid_argument, "--filter", printable(filter.key),
                        fmt::format("a key of the cases: {}", fmt::join(keys, ", ")));
        }
    }
}

}  // namespace

void parse_filter(std::string_view text, std::vector<Filter>& filters) {
    for (const std::string_view part : split(text, ',')) {
        const std::size_t equals = part.find('=');
        if (equals == std::string_view::npos || equals == 0 || equals + 1 == part.size()) {
            throw Error(ErrorCode::invalid_argument, "--filter", printable(part),
                        "key=value, or key=value|value for several");
        }
        Filter filter{std::string(part.substr(0, equals)), {}};
        for (const std::string_view value : split(part.substr(equals + 1), '|')) {
            filter.values.push_back(parse_argument_value(value));
        }
        filters.push_back(std::move(filter));
    }
}

std::vector<Variant> parse_variants(std::string_view text) {
    std::vector<Variant> wanted;
    for (const std::string_view name : split(text, ',')) {
        const std::optional<Variant> variant = find_variant(name);
        if (!variant) {
            std::vector<std::string_view> names;
            std::transform(variants.begin(), variants.end(), std::back_inserter(names),
                           [](const VariantInfo& row) { return row.name; });
            throw Error(ErrorCode::invalid_argument, "--variant", printable(name),
                        fmt::format("of {}", fmt::join(names, ", ")));
        }
        wanted.push_back(*variant);
    }
    return wanted;
}

void select_cases(std::vector<Case>& cases, std::span<const Filter> filters, std::span<const Variant> wanted) {
    check_keys(cases, filters);
    std::erase_if(cases, [&](const Case& item) {
        if (!std::all_of(filters.begin(), filters.end(), [&](const Filter& filter) { return matches(item, filter); })) {
            return true;
        }
        if (wanted.empty()) {
            return false;
        }
        const std::optional<Variant> variant = variant_of(item);
        return !variant || std::find(wanted.begin(), wanted.end(), *variant) == wanted.end();
    });
}

}  // namespace moegemm::bench
