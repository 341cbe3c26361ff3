#include <moegemm/provider.hpp>

namespace moegemm {

std::string_view to_string(Accumulation value) noexcept {
    switch (value) {
        case Accumulation::fp32:
            return "fp32";
        case Accumulation::promoted_128:
            return "promoted_128";
        case Accumulation::fast:
            return "fast";
    }
    return "";
}

std::string_view to_string(ScaleRange value) noexcept { return value == ScaleRange::full ? "full" : "bf16"; }

}  // namespace moegemm
