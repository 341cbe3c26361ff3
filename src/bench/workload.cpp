#include "bench/workload.hpp"

#include "bench/text_file.hpp"

#include <moegemm/error.hpp>

namespace moegemm::bench {

Workload read_workload(const std::filesystem::path& path) {
    const std::filesystem::path suffix = path.extension();
    if (suffix != ".json" && suffix != ".csv") {
        throw Error(ErrorCode::invalid_argument, "workload file", path.string(), "a file that ends in .json or .csv");
    }
    const std::string text = read_text_file(path);
    return suffix == ".json" ? parse_workload_json(text, path) : parse_workload_csv(text, path);
}

}  // namespace moegemm::bench
