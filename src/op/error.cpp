#include <array>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

namespace moegemm {
namespace {

constexpr std::array<std::string_view, 9> code_names{
    "ok", "invalid_argument", "unsupported", "out_of_memory", "overflow", "io", "parse", "plugin", "internal"};

}  // namespace

std::string_view to_string(ErrorCode code) noexcept {
    const auto index = static_cast<std::size_t>(code);
    return index < code_names.size() ? code_names[index] : "unknown";
}

Error::Error(ErrorCode code, std::string argument, std::string value, std::string allowed)
    : std::runtime_error(fmt::format("{} = {}: allowed is {}", argument, value, allowed)),
      code_(code),
      argument_(std::move(argument)),
      value_(std::move(value)),
      allowed_(std::move(allowed)) {}

}  // namespace moegemm
