#include "bench/workload.hpp"

#include "bench/text_file.hpp"

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

/// Takes a case's own routing out of its arguments.
void take_routing(Case& item) {
    for (const auto& [key, value] : item.arguments) {
        if (key != "routing") {
            continue;
        }
        const auto* const text = std::get_if<std::string>(&value);
        if (text == nullptr) {
            throw Error(ErrorCode::parse, "routing", item.source, "a text, as --routing takes it");
        }
        item.routing = *text;
    }
    std::erase_if(item.arguments, [](const ArgumentPair& pair) { return pair.first == "routing"; });
}

}  // namespace

Workload read_workload(const std::filesystem::path& path) {
    const std::filesystem::path suffix = path.extension();
    if (suffix != ".json" && suffix != ".csv") {
        throw Error(ErrorCode::invalid_argument, "workload file", path.string(), "a file that ends in .json or .csv");
    }
    const std::string text = read_text_file(path);
    Workload workload = suffix == ".json" ? parse_workload_json(text, path) : parse_workload_csv(text, path);
    for (Case& item : workload.cases) {
        item.folder = path.parent_path();
        take_routing(item);
    }
    return workload;
}

}  // namespace moegemm::bench
