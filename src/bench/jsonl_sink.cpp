#include "bench/jsonl_sink.hpp"

#include <nlohmann/json.hpp>

namespace moegemm::bench {

void JsonlSink::write(const Record& record) {
    // A case may hold any bytes: what is no UTF-8 is replaced, so that every line parses.
    file_.write(to_json(record).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace moegemm::bench
