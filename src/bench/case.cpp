#include "bench/case.hpp"

#include <string_view>

namespace moegemm::bench {

Routing routing_of(const Case& item, const Routing& run) {
    if (item.routing.empty()) {
        return run;
    }
    constexpr std::string_view counts = "counts:";
    std::string text = item.routing;
    if (text.starts_with(counts)) {
        text = std::string(counts) + (item.folder / text.substr(counts.size())).string();
    }
    Routing routing = Routing::parse(text, run.seed);
    routing.text = item.routing;
    return routing;
}

}  // namespace moegemm::bench
