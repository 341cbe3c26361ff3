/// \file
/// An environment variable for a while.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace moegemm::test {

/// Sets it, and puts back at its end what was there before.
class ScopedVariable {
public:
    ScopedVariable(const char* name, const std::string& value) : name_(name) {
        if (const char* before = std::getenv(name); before != nullptr) {
            before_ = before;
        }
        setenv(name, value.c_str(), 1);
    }
    ~ScopedVariable() { before_.has_value() ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
    ScopedVariable(const ScopedVariable&) = delete;
    ScopedVariable& operator=(const ScopedVariable&) = delete;

private:
    const char* name_;
    std::optional<std::string> before_;
};

}  // namespace moegemm::test
