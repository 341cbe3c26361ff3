#include <moegemm/provider.hpp>

namespace moegemm {

std::string_view to_string(Accumulation value) noexcept {
    return value == Accumulation::fp32 ? "fp32" : "promoted_128";
}

std::string_view to_string(ScaleRange value) noexcept { return value == ScaleRange::full ? "full" : "bf16"; }

}  // namespace moegemm
