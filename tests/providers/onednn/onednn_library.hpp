/// \file
/// Which oneDNN a provider of a test loads.
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "providers/onednn/provider.hpp"

namespace moegemm::test {

/// MOEGEMM_ONEDNN for a while.
class ScopedOnednn {
public:
    explicit ScopedOnednn(const std::string& value) {
        if (const char* before = std::getenv(name); before != nullptr) {
            before_ = before;
        }
        setenv(name, value.c_str(), 1);
    }
    ~ScopedOnednn() { before_.has_value() ? setenv(name, before_->c_str(), 1) : unsetenv(name); }
    ScopedOnednn(const ScopedOnednn&) = delete;
    ScopedOnednn& operator=(const ScopedOnednn&) = delete;

private:
    static constexpr const char* name = "MOEGEMM_ONEDNN";
    std::optional<std::string> before_;
};

/// The path of the stand-in that the tests build: "fake", or one with a fault.
[[nodiscard]] inline std::string fake_onednn(const std::string& name) {
    return std::string(MOEGEMM_TEST_FAKE_ONEDNN) + "/libdnnl_" + name + ".so";
}

/// The provider over one of them.
[[nodiscard]] inline std::shared_ptr<const Provider> provider_over(const std::string& path) {
    const ScopedOnednn use(path);
    return make_onednn_provider();
}

}  // namespace moegemm::test
