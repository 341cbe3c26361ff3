/// \file
/// Which oneDNN a provider of a test loads.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "providers/onednn/provider.hpp"
#include "scoped_variable.hpp"

namespace moegemm::test {

/// The path of the stand-in that the tests build: "fake", or one with a fault.
[[nodiscard]] inline std::string fake_onednn(const std::string& name) {
    return std::string(MOEGEMM_TEST_FAKE_ONEDNN) + "/libdnnl_" + name + ".so";
}

/// The provider over one of them.
[[nodiscard]] inline std::shared_ptr<const Provider> provider_over(const std::string& path) {
    const ScopedVariable use("MOEGEMM_ONEDNN", path);
    return make_onednn_provider();
}

/// The provider over the oneDNN that this machine has: what `./dev onednn` fetched counts, too. Programs find that
/// beside their own folder, which tests have elsewhere.
[[nodiscard]] inline std::shared_ptr<const Provider> machines_provider() {
    if (std::getenv("MOEGEMM_ONEDNN") == nullptr && std::filesystem::exists(MOEGEMM_TEST_FETCHED_ONEDNN)) {
        return provider_over(MOEGEMM_TEST_FETCHED_ONEDNN);
    }
    return make_onednn_provider();
}

}  // namespace moegemm::test
