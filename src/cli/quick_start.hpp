/// \file
/// workloads/quick_start.json, as it was when this program was built.
#pragma once

#include <string_view>

namespace moegemm::cli {

extern const std::string_view quick_start;

}  // namespace moegemm::cli
