#include "bench/csv_sink.hpp"

#include <utility>

#include <nlohmann/json.hpp>

namespace moegemm::bench {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) {
    if (value.is_null()) {
        return {};
    }
    if (value.is_string()) {
        return value.get<std::string>();
    }
    if (value.is_array()) {
        std::string joined;
        for (const Json& item : value) {
            joined += (joined.empty() ? "" : " ") + text_of(item);
        }
        return joined;
    }
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void flatten(const Json& object, const std::string& prefix, std::vector<std::pair<std::string, std::string>>& fields) {
    for (const auto& [key, value] : object.items()) {
        if (value.is_object()) {
            flatten(value, prefix + key + ".", fields);
        } else {
            fields.emplace_back(prefix + key, text_of(value));
        }
    }
}

}  // namespace

std::string csv_field(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
        return text;
    }
    std::string quoted = "\"";
    for (const char letter : text) {
        quoted += letter;
        if (letter == '"') {
            quoted += '"';
        }
    }
    return quoted + "\"";
}

void CsvSink::write(const Record& record) {
    Json json = to_json(record);
    // The same columns for every record, also for one whose case has other keys or lacks some.
    Json arguments;
    for (const auto& [key, value] : argument_pairs(Arguments{}, Routing{})) {
        const auto held = json["arguments"].find(key);
        arguments[key] = held == json["arguments"].end() ? Json(nullptr) : *held;
    }
    json["arguments"] = std::move(arguments);

    std::vector<std::pair<std::string, std::string>> fields;
    flatten(json, "", fields);
    std::string header;
    std::string line;
    for (const auto& [name, text] : fields) {
        header += (header.empty() ? "" : ",") + csv_field(name);
        line += (&name == &fields.front().first ? "" : ",") + csv_field(text);
    }
    file_.write((header_written_ ? "" : header + "\n") + line + "\n");
    header_written_ = true;
}

}  // namespace moegemm::bench
