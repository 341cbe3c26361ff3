#include "bench/device.hpp"

#include <charconv>
#include <string>
#include <system_error>

#include <dlfcn.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include "bench/cuda/module.hpp"
#include "bench/host_device.hpp"
#include "bench/thread_team.hpp"
#include "provider/plugin_search.hpp"

namespace moegemm::bench {
namespace {

/// The file of the CUDA code; nothing where it was not built.
std::filesystem::path find_cuda_module() {
    for (const std::filesystem::path& folder : plugin_folders()) {
        std::error_code ignored;
        std::filesystem::path file = folder / cuda::module_file;
        if (std::filesystem::is_regular_file(file, ignored)) {
            return file;
        }
    }
    return {};
}

/// The number in "cuda:0".
std::optional<int> cuda_ordinal(std::string_view name) {
    constexpr std::string_view prefix = "cuda:";
    if (!name.starts_with(prefix)) {
        return std::nullopt;
    }
    name.remove_prefix(prefix.size());
    int ordinal = 0;
    const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), ordinal);
    const bool read = failure == std::errc() && end == name.data() + name.size() && ordinal >= 0;
    return read ? std::optional(ordinal) : std::nullopt;
}

std::unique_ptr<Device> make_cuda_device(const std::string& name, int ordinal) {
    const std::filesystem::path file = find_cuda_module();
    if (file.empty()) {
        throw Error(ErrorCode::unsupported, "device", name,
                    fmt::format("cpu: this build has no CUDA code ({}); ./dev cuda builds it", cuda::module_file));
    }
    const auto refuse = [&](const std::string& why) {
        throw Error(ErrorCode::plugin, "device", fmt::format("{} ({})", name, file.string()), why);
    };
    // Stays loaded until the process ends: devices, and CUDA itself, have code in it.
    void* const library = dlopen(std::filesystem::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char* const reason = dlerror();
        refuse(fmt::format("a library that can be loaded ({})", reason == nullptr ? "no reason given" : reason));
    }
    const auto entry = reinterpret_cast<cuda::ModuleEntry>(dlsym(library, cuda::module_entry));
    if (entry == nullptr) {
        refuse(fmt::format("a library that exports {}", cuda::module_entry));
    }
    std::unique_ptr<Device> device(entry(MOEGEMM_BENCH_STAMP, ordinal));
    if (!device) {
        refuse("a library of the same build as this program: ./dev cuda");
    }
    return device;
}

}  // namespace

std::unique_ptr<Device> make_device(std::string_view name, int threads) {
    constexpr int most_threads = 4096;
    if (threads < 0 || threads > most_threads) {
        throw Error(ErrorCode::invalid_argument, "threads", std::to_string(threads),
                    fmt::format("0 (all that the process may run on) … {}", most_threads));
    }
    if (name == "cpu") {
        return std::make_unique<HostDevice>(threads == 0 ? allowed_threads() : threads);
    }
    const std::optional<int> ordinal = cuda_ordinal(name);
    if (!ordinal) {
        throw Error(ErrorCode::invalid_argument, "device", std::string(name), "cpu, or cuda:0, cuda:1, …");
    }
    return make_cuda_device(std::string(name), *ordinal);
}

}  // namespace moegemm::bench
