#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include <moegemm/error.hpp>
#include <moegemm/problem.hpp>

namespace moegemm {
namespace {

struct IntegerKey {
    std::string_view name;
    bool required;
    std::int64_t& (*field)(Arguments&);
};

constexpr std::array<IntegerKey, 7> integer_keys{{
    {"num_tokens", true, [](Arguments& a) -> std::int64_t& { return a.routing.num_tokens; }},
    {"hidden_size", true, [](Arguments& a) -> std::int64_t& { return a.hidden_size; }},
    {"new_hidden_size", true, [](Arguments& a) -> std::int64_t& { return a.new_hidden_size; }},
    {"num_experts", true, [](Arguments& a) -> std::int64_t& { return a.routing.num_experts; }},
    {"topk", true, [](Arguments& a) -> std::int64_t& { return a.routing.topk; }},
    {"ep_size", false, [](Arguments& a) -> std::int64_t& { return a.routing.ep_size; }},
    {"ep_rank", false, [](Arguments& a) -> std::int64_t& { return a.routing.ep_rank; }},
}};

struct TextKey {
    std::string_view name;
    std::string Arguments::*field;
};

constexpr std::array<TextKey, 6> text_keys{{
    {"arg_type", &Arguments::arg_type},
    {"dtype", &Arguments::dtype},
    {"w_dtype", &Arguments::w_dtype},
    {"compute_dtype", &Arguments::compute_dtype},
    {"dst_dtype", &Arguments::dst_dtype},
    {"scale_layout", &Arguments::scale_layout},
}};

constexpr std::string_view alpha_key = "alpha";

/// The value with its type, for messages: a number that is not whole by its type keeps a sign of that.
std::string describe(const ArgumentValue& value) {
    struct Describe {
        std::string operator()(std::monostate) const { return "null"; }
        std::string operator()(bool flag) const { return flag ? "true (a boolean)" : "false (a boolean)"; }
        std::string operator()(std::int64_t number) const { return fmt::format("{} (an integer)", number); }
        std::string operator()(double number) const { return fmt::format("{} (a floating-point number)", number); }
        std::string operator()(const std::string& text) const { return fmt::format("\"{}\" (a text)", text); }
    };
    return std::visit(Describe{}, value);
}

[[noreturn]] void throw_type(std::string_view key, const ArgumentValue& value, std::string_view wanted) {
    throw Error(ErrorCode::invalid_argument, std::string(key), describe(value), std::string(wanted));
}

bool is_known(std::string_view key) {
    return std::ranges::any_of(integer_keys, [&](const IntegerKey& row) { return row.name == key; }) ||
           std::ranges::any_of(text_keys, [&](const TextKey& row) { return row.name == key; }) || key == alpha_key;
}

using Pairs = std::span<const std::pair<std::string, ArgumentValue>>;

/// The last value of a key; null where it is not there.
const ArgumentValue* last_value(Pairs pairs, std::string_view key) {
    const ArgumentValue* found = nullptr;
    for (const auto& [name, value] : pairs) {
        if (name == key) {
            found = &value;
        }
    }
    return found;
}

/// The whole text as a number, or nothing.
template <class Number>
std::optional<Number> whole_number(std::string_view text) {
    Number number{};
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stop != end) {
        return std::nullopt;
    }
    return number;
}

}  // namespace

ArgumentValue parse_argument_value(std::string_view text) {
    if (text == "true" || text == "false") {
        return text == "true";
    }
    if (const auto integer = whole_number<std::int64_t>(text)) {
        return *integer;
    }
    // from_chars also reads "inf" and "nan", which are names here.
    const bool has_digit = std::ranges::any_of(text, [](char c) { return c >= '0' && c <= '9'; });
    if (const auto number = has_digit ? whole_number<double>(text) : std::nullopt) {
        return *number;
    }
    return std::string(text);
}

Arguments Arguments::from(std::span<const std::pair<std::string, ArgumentValue>> pairs,
                          std::vector<std::string>* unknown) {
    Arguments arguments;
    for (const IntegerKey& key : integer_keys) {
        const ArgumentValue* const value = last_value(pairs, key.name);
        if (value == nullptr) {
            if (key.required) {
                throw Error(ErrorCode::invalid_argument, std::string(key.name), "missing", "an integer");
            }
            continue;
        }
        const auto* const integer = std::get_if<std::int64_t>(value);
        if (integer == nullptr) {
            throw_type(key.name, *value, "an integer");
        }
        key.field(arguments) = *integer;
    }
    for (const TextKey& key : text_keys) {
        const ArgumentValue* const value = last_value(pairs, key.name);
        if (value == nullptr) {
            continue;
        }
        const auto* const text = std::get_if<std::string>(value);
        if (text == nullptr) {
            throw_type(key.name, *value, "a text");
        }
        arguments.*key.field = *text;
    }
    if (const ArgumentValue* const value = last_value(pairs, alpha_key)) {
        const bool* const flag = std::get_if<bool>(value);
        if (flag == nullptr) {
            throw_type(alpha_key, *value, "true or false");
        }
        arguments.alpha = *flag;
    }
    if (unknown != nullptr) {
        unknown->clear();
        for (const auto& pair : pairs) {
            if (!is_known(pair.first) && std::ranges::find(*unknown, pair.first) == unknown->end()) {
                unknown->push_back(pair.first);
            }
        }
    }
    return arguments;
}

}  // namespace moegemm
