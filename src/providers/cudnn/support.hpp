/// \file
/// Which calls cuDNN's MoE grouped matmul may be asked for; what it says itself comes after that.
#pragma once

#include <fmt/format.h>

#include <moegemm/provider.hpp>

namespace moegemm::cudnn {

/// cuDNN's kernels copy rows in pieces of so many bytes.
inline constexpr std::int64_t alignment = 16;

[[nodiscard]] inline Support support_of(const GemmSpec& spec) {
    if (spec.variant != Variant::bf16 && spec.variant != Variant::fp8) {
        return Support::no("cuDNN's MoE grouped matmul is offered for bf16 and for fp8 with one scale");
    }
    const std::int64_t k_bytes = spec.k * info(spec.a).bytes;
    const std::int64_t n_bytes = spec.n * info(spec.dst).bytes;
    if (k_bytes % alignment != 0 || n_bytes % alignment != 0) {
        return Support::no(
            fmt::format("cuDNN takes rows of a multiple of {} bytes: those of A and W have {}, those of y {}",
                        alignment, k_bytes, n_bytes));
    }
    if (spec.max_rows == 0) {
        return Support::no("cuDNN takes no tensor without rows");
    }
    return Support::yes();
}

}  // namespace moegemm::cudnn
