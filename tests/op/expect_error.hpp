/// \file
/// Asserts on what a typed error says, not only that there is one.
#pragma once

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <moegemm/error.hpp>

namespace moegemm::test {

/// Whether `action` throws an Error of this code and argument whose value and allowed texts hold these parts.
/// \param value   may be empty only where the value is an empty text
/// \param allowed a part that tells the user what to do; never empty
template <class Action>
testing::AssertionResult throws_error(ErrorCode code, std::string_view argument, std::string_view value,
                                      std::string_view allowed, Action&& action) {
    if (allowed.empty()) {
        return testing::AssertionFailure() << "a test must say what is allowed";
    }
    try {
        action();
    } catch (const Error& error) {
        const std::string what = error.what();
        if (error.code() != code) {
            return testing::AssertionFailure() << "code " << to_string(error.code()) << ": " << what;
        }
        if (error.argument() != argument) {
            return testing::AssertionFailure() << "argument " << error.argument() << ": " << what;
        }
        if (value.empty() ? !error.value().empty() : error.value().find(value) == std::string::npos) {
            return testing::AssertionFailure() << "value " << error.value() << ": " << what;
        }
        if (error.allowed().find(allowed) == std::string::npos) {
            return testing::AssertionFailure() << "allowed " << error.allowed() << ": " << what;
        }
        if (what.find(argument) == std::string::npos || what.find(error.allowed()) == std::string::npos) {
            return testing::AssertionFailure() << "what() leaves something out: " << what;
        }
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "nothing was thrown";
}

}  // namespace moegemm::test
