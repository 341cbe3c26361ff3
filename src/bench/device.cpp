#include "bench/device.hpp"

#include <string>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "bench/host_device.hpp"
#include "bench/thread_team.hpp"

namespace moegemm::bench {

std::unique_ptr<Device> make_device(std::string_view name, int threads) {
    constexpr int most_threads = 4096;
    if (threads < 0 || threads > most_threads) {
        throw Error(ErrorCode::invalid_argument, "threads", std::to_string(threads),
                    fmt::format("0 (all that the process may run on) … {}", most_threads));
    }
    if (name != "cpu") {
        throw Error(ErrorCode::invalid_argument, "device", std::string(name), "cpu");
    }
    return std::make_unique<HostDevice>(threads == 0 ? allowed_threads() : threads);
}

}  // namespace moegemm::bench
