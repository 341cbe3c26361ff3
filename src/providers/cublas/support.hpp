/// \file
/// Which calls cuBLAS's grouped product takes.
#pragma once

#include <array>
#include <limits>

#include <fmt/format.h>

#include <moegemm/provider.hpp>

namespace moegemm::cublas {

using Version = std::array<int, 3>;

/// Whether a version of cuBLASLt has grouped products for compute capability 9.0 that can be relied on. They came with
/// 13.4.0; up to 13.6.0, calls that use one workspace after each other may hang there (cuBLAS's patch release notes,
/// 13.6.1); those of 13.7.0 to 13.8.0 may give wrong results on later GPUs (CUDA's release notes, 13.4 update 1).
[[nodiscard]] constexpr bool has_sound_lt(const Version& version) noexcept {
    return version >= Version{13, 6, 1} && (version < Version{13, 7, 0} || version >= Version{13, 8, 1});
}

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
    if (spec.experts > most || spec.n > most || spec.k > most || spec.max_rows > most) {
        return Support::no("cuBLAS's grouped product takes sizes of 32 bits");
    }
    return Support::yes();
}

/// The same of cuBLASLt's, which cannot see the sizes before it runs, as they lie on the device. What it asks of them
/// is in cuBLAS's documentation (cublasLtMatmul, grouped matrices).
[[nodiscard]] inline Support lt_support_of(const GemmSpec& spec) {
    constexpr std::int64_t elements = 8;  // 16 bytes
    if (Support support = support_of(spec); !support.supported) {
        return support;
    }
    if (spec.n % elements != 0 || spec.k % elements != 0) {
        return Support::no("cuBLASLt's grouped product takes N and K that are multiples of 8 (16 bytes) only");
    }
    return Support::yes();
}

}  // namespace moegemm::cublas
