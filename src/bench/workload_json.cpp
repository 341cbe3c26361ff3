#include "bench/workload.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/record.hpp"
#include "bench/text_file.hpp"

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

using Json = nlohmann::ordered_json;

/// Key names of one entry after its dotted keys are split: more make no sense, and each takes memory in every case.
constexpr std::size_t max_entry_names = 1000;

[[noreturn]] void fail(const std::string& where, std::string value, std::string allowed) {
    throw Error(ErrorCode::parse, where, std::move(value), std::move(allowed));
}

std::string excerpt(const Json& value) { return printable(value.dump()); }

ArgumentValue to_argument(const Json& value) {
    switch (value.type()) {
        case Json::value_t::null:
            return std::monostate{};
        case Json::value_t::boolean:
            return value.get<bool>();
        case Json::value_t::number_integer:
            return value.get<std::int64_t>();
        case Json::value_t::number_unsigned: {
            const auto number = value.get<std::uint64_t>();
            if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
                return static_cast<double>(number);
            }
            return static_cast<std::int64_t>(number);
        }
        case Json::value_t::number_float:
            return value.get<double>();
        case Json::value_t::string:
            return value.get<std::string>();
        default:
            return value.dump();
    }
}

/// One key of an entry: the names that it gives values to, and each of its choices of values.
struct Column {
    bool dotted = false;
    std::vector<std::string> names;
    std::vector<std::vector<ArgumentValue>> choices;  ///< each with one value a name
    std::vector<std::size_t> slots;                   ///< where each name stands among the case's keys
};

std::vector<std::string> split(const std::string& key) {
    std::vector<std::string> names;
    std::size_t start = 0;
    for (std::size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', start)) {
        names.push_back(key.substr(start, dot - start));
        start = dot + 1;
    }
    names.push_back(key.substr(start));
    return names;
}

Column read_column(const std::string& key, const Json& value, const std::string& where) {
    Column column;
    column.names = split(key);
    column.dotted = column.names.size() > 1;
    if (column.names.size() > max_entry_names) {
        fail(where, printable(key), fmt::format("at most {} names in a key", max_entry_names));
    }
    const auto add = [&](const Json& choice) {
        std::vector<ArgumentValue> values;
        if (!column.dotted) {
            values.push_back(to_argument(choice));
        } else {
            if (!choice.is_array() || choice.size() != column.names.size()) {
                fail(fmt::format("{}: key \"{}\"", where, printable(key)), excerpt(choice),
                     fmt::format("a list of tuples of {} values, one a name", column.names.size()));
            }
            std::transform(choice.begin(), choice.end(), std::back_inserter(values), to_argument);
        }
        column.choices.push_back(std::move(values));
    };
    if (value.is_array()) {
        column.choices.reserve(value.size());
        for (const Json& choice : value) {
            add(choice);
        }
    } else {
        add(value);
    }
    return column;
}

std::size_t value_bytes(const ArgumentValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    return text == nullptr ? 0 : text->size();
}

/// Expands entries to cases, and keeps the sum of all within the limits.
class Expansion {
public:
    Expansion(std::string file, std::vector<Case>& cases) : file_(std::move(file)), cases_(cases) {}

    void add(const Json& entry, const std::string& where) {
        if (!entry.is_object()) {
            fail(where, excerpt(entry), "an object of keys and lists of values");
        }
        std::vector<Column> columns;
        const bool batch = is_batch(entry);
        for (const auto& [key, value] : entry.items()) {
            if (batch) {
                columns.push_back({false, {key}, {{to_argument(value)}}, {}});
            } else {
                columns.push_back(read_column(key, value, where));
            }
        }
        expand(columns, where);
    }

private:
    static bool is_batch(const Json& entry) {
        const auto type = entry.find("arg_type");
        if (type == entry.end()) {
            return false;
        }
        if (type->is_string()) {
            return type->get_ref<const std::string&>().find("batch") != std::string::npos;
        }
        return type->is_array() && std::find(type->begin(), type->end(), "batch") != type->end();
    }

    /// Names of the case in their order: plain keys first, then the names of dotted keys that are new.
    static std::vector<std::string> place(std::vector<Column>& columns, const std::string& where) {
        std::vector<std::string> names;
        for (const bool dotted : {false, true}) {
            for (Column& column : columns) {
                if (column.dotted != dotted) {
                    continue;
                }
                for (const std::string& name : column.names) {
                    const auto found = std::find(names.begin(), names.end(), name);
                    column.slots.push_back(static_cast<std::size_t>(found - names.begin()));
                    if (found == names.end()) {
                        names.push_back(name);
                    }
                }
                if (names.size() > max_entry_names) {
                    fail(where, "one more key", fmt::format("at most {} keys in an entry", max_entry_names));
                }
            }
        }
        return names;
    }

    /// The number of cases, checked against the limits before anything is built.
    std::size_t count(const std::vector<Column>& columns, const std::vector<std::string>& names,
                      const std::string& where) {
        std::size_t product = 1;
        std::size_t case_bytes = sizeof(Case) + where.size();
        for (const std::string& name : names) {
            case_bytes += sizeof(ArgumentPair) + name.size();
        }
        for (const Column& column : columns) {
            if (column.choices.empty()) {
                return 0;
            }
            std::size_t longest = 0;
            for (const std::vector<ArgumentValue>& values : column.choices) {
                std::size_t bytes = 0;
                for (const ArgumentValue& value : values) {
                    bytes += value_bytes(value);
                }
                longest = std::max(longest, bytes);
            }
            case_bytes += longest;
            // Capped, so that no product overflows: the file is at most max_text_bytes long.
            product = std::min(product * column.choices.size(), max_workload_cases + 1);
        }
        if (cases_.size() + product > max_workload_cases || bytes_ + product * case_bytes > max_workload_bytes) {
            throw Error(ErrorCode::overflow, where, "the cases of this file up to here",
                        fmt::format("at most {} cases and {} MiB a file: split it, or shorten its lists",
                                    max_workload_cases, max_workload_bytes >> 20U));
        }
        bytes_ += product * case_bytes;
        return product;
    }

    void expand(std::vector<Column>& columns, const std::string& where) {
        const std::vector<std::string> names = place(columns, where);
        std::vector<std::size_t> choice(columns.size(), 0);
        for (std::size_t left = count(columns, names, where); left > 0; --left) {
            Case result;
            result.source = where;
            for (const std::string& name : names) {
                result.arguments.emplace_back(name, std::monostate{});
            }
            for (const bool dotted : {false, true}) {
                for (std::size_t c = 0; c < columns.size(); ++c) {
                    if (columns[c].dotted != dotted) {
                        continue;
                    }
                    const std::vector<ArgumentValue>& values = columns[c].choices[choice[c]];
                    for (std::size_t i = 0; i < values.size(); ++i) {
                        result.arguments[columns[c].slots[i]].second = values[i];
                    }
                }
            }
            cases_.push_back(std::move(result));
            for (std::size_t c = columns.size(); c-- > 0;) {
                if (++choice[c] < columns[c].choices.size()) {
                    break;
                }
                choice[c] = 0;
            }
        }
    }

    std::string file_;
    std::vector<Case>& cases_;
    std::size_t bytes_ = 0;
};

}  // namespace

Workload parse_workload_json(std::string_view text, const std::filesystem::path& file) {
    const std::string name = printable(file.string(), 4096);
    const Json document = parse_json(text, name);
    if (!document.is_object()) {
        fail(name + ":1:1", excerpt(document),
             fmt::format("an object: {{\"{}\": [...]}} or {{\"cases\": [...]}}", op_name));
    }
    Workload workload;
    Expansion expansion(name, workload.cases);
    const auto read_op = [&](const std::string& op, const std::string& key, const Json& entries,
                             const std::string& hint) {
        if (op != op_name) {
            workload.skipped.push_back({printable(op), entries.size(), hint});
            return;
        }
        if (!entries.is_array()) {
            fail(fmt::format("{}: key \"{}\"", name, key), excerpt(entries), "a list of entries");
        }
        for (std::size_t i = 0; i < entries.size(); ++i) {
            expansion.add(entries[i], fmt::format("{}: entry {}", name, i));
        }
    };
    if (const auto cases = document.find("cases"); cases != document.end()) {
        read_op(file.stem().string(), "cases", *cases,
                fmt::format("the op of \"cases\" is the file's name: call it {}.json, or name the op instead of "
                            "\"cases\"",
                            op_name));
    } else {
        for (const auto& [op, entries] : document.items()) {
            read_op(op, op, entries, "");
        }
    }
    return workload;
}

}  // namespace moegemm::bench
