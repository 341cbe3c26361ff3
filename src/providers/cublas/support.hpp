/// \file
/// Which calls cuBLAS's grouped product takes.
#pragma once

#include <limits>

#include <fmt/format.h>

#include <moegemm/provider.hpp>

namespace moegemm::cublas {

/// Where cuBLASLt's grouped products run: compute capabilities 9.0 to 11.0.
[[nodiscard]] constexpr bool lt_runs_on(int capability) noexcept { return capability >= 90 && capability <= 110; }

[[nodiscard]] inline Support support_of(const GemmSpec& spec) {
    constexpr std::int64_t most = std::numeric_limits<int>::max();
    if (spec.variant != Variant::bf16) {
        return Support::no("cuBLAS's grouped product takes bf16, f16 and f32 elements only");
    }
    if (spec.dst != DType::bf16) {
        return Support::no(fmt::format("cuBLAS's grouped product of bf16 gives bf16, not {}", info(spec.dst).name));
    }
    if (spec.n > most || spec.k > most || spec.max_rows > most) {
        return Support::no("cuBLAS's grouped product takes sizes of 32 bits");
    }
    return Support::yes();
}

}  // namespace moegemm::cublas
