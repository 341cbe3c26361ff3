/// \file
/// The one exception type of the library: what was wrong, with which value, and what is allowed instead.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace moegemm {

/// What kind of thing went wrong. The values are part of the C ABI (`moegemm_status` in abi.h).
enum class ErrorCode : std::int32_t {
    ok = 0,
    invalid_argument = 1,  ///< a value outside of what the contract allows
    unsupported = 2,       ///< valid, but not offered by this provider or on this machine
    out_of_memory =
        3,         ///< needs more memory than there is; raised before anything is allocated where that can be known
    overflow = 4,  ///< a size that does not fit in 64 bits
    io = 5,        ///< a file or folder could not be read or written
    parse = 6,     ///< a file or a string that does not follow its grammar
    plugin = 7,    ///< a plug-in library that cannot be loaded, or that broke its contract
    internal = 8,  ///< a fault of ours
};

/// The code's name, as records and messages print it ("invalid_argument").
[[nodiscard]] std::string_view to_string(ErrorCode code) noexcept;

/// Thrown by every function of the library that can fail.
/// `what()` reads "topk = 0: allowed is 1 … num_experts (8)".
class Error : public std::runtime_error {
public:
    /// \param code     the kind
    /// \param argument the name of the argument, tensor, key, file or option that is at fault
    /// \param value    the value that it had, as text
    /// \param allowed  what would have been accepted, or what to do next
    Error(ErrorCode code, std::string argument, std::string value, std::string allowed);

    [[nodiscard]] ErrorCode code() const noexcept { return code_; }
    [[nodiscard]] const std::string& argument() const noexcept { return argument_; }
    [[nodiscard]] const std::string& value() const noexcept { return value_; }
    [[nodiscard]] const std::string& allowed() const noexcept { return allowed_; }

private:
    ErrorCode code_;
    std::string argument_;
    std::string value_;
    std::string allowed_;
};

}  // namespace moegemm
