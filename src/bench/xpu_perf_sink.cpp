#include "bench/xpu_perf_sink.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/csv_sink.hpp"
#include "bench/file.hpp"

namespace moegemm::bench {
namespace {

using Json = nlohmann::ordered_json;

/// One component of a path: a device's or a provider's name may hold anything.
std::string component(std::string name) {
    std::replace(name.begin(), name.end(), '/', '_');
    return name.empty() || name == "." || name == ".." ? "_" : name;
}

/// A value as Python's csv module writes it: str() of what json.loads would give.
std::string python_text(const Json& value) {
    if (value.is_null()) {
        return {};
    }
    if (value.is_boolean()) {
        return value.get<bool>() ? "True" : "False";
    }
    if (value.is_string()) {
        return value.get<std::string>();
    }
    if (value.is_array()) {
        std::string list;
        for (const Json& item : value) {
            list += (list.empty() ? "'" : ", '") + python_text(item) + "'";
        }
        return "[" + list + "]";
    }
    return value.dump();
}

void add_keys(const Json& object, std::vector<std::string>& keys) {
    for (const auto& [key, value] : object.items()) {
        if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
            keys.push_back(key);
        }
    }
}

/// The fields of a record that the suite's reports have.
std::vector<Json> reports_of(const std::vector<Record>& records) {
    std::vector<Json> reports;
    for (const Record& record : records) {
        const Json json = to_json(record);
        Json report;
        for (const char* key : {"sku_name", "op_name", "provider", "arguments", "targets"}) {
            report[key] = json[key];
        }
        reports.push_back(std::move(report));
    }
    return reports;
}

std::string csv_of(const std::vector<Json>& reports) {
    std::vector<std::string> arguments;
    std::vector<std::string> targets;
    for (const Json& report : reports) {
        add_keys(report["arguments"], arguments);
        add_keys(report["targets"], targets);
    }
    std::string text = "sku_name,op_name,provider";
    for (const auto* keys : {&arguments, &targets}) {
        for (const std::string& key : *keys) {
            text += "," + csv_field(key);
        }
    }
    text += "\r\n";  // as Python's csv module ends lines
    for (const Json& report : reports) {
        text +=
            csv_field(report["sku_name"]) + "," + csv_field(report["op_name"]) + "," + csv_field(report["provider"]);
        for (const auto& [group, keys] : {std::pair{"arguments", &arguments}, std::pair{"targets", &targets}}) {
            for (const std::string& key : *keys) {
                text +=
                    "," + (report[group].contains(key) ? csv_field(python_text(report[group][key])) : std::string());
            }
        }
        text += "\r\n";
    }
    return text;
}

}  // namespace

XpuPerfSink::XpuPerfSink(std::filesystem::path folder, std::string backend)
    : folder_(std::move(folder)), backend_(std::move(backend)) {}

void XpuPerfSink::write(const Record& record) {
    if (record.status != Status::ok) {
        return;
    }
    measured_[{record.sku_name, record.provider}].push_back(record);
}

void XpuPerfSink::finish() {
    for (const auto& [target, records] : measured_) {
        const std::vector<Json> reports = reports_of(records);
        const std::string provider = component(target.provider);
        const auto folder = folder_ / component(backend_) / component(target.sku_name) / op_name / provider;
        const std::string stem = fmt::format("{}-{}", op_name, provider);
        std::string lines;
        for (const Json& report : reports) {
            lines += report.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
        }
        OutputFile::create(folder / (stem + ".jsonl")).write(lines);
        OutputFile::create(folder / (stem + ".csv")).write(csv_of(reports));
    }
}

}  // namespace moegemm::bench
