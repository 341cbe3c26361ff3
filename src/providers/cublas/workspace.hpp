/// \file
/// The parts of a plan's workspace: what a call tells cuBLAS on the device, then cuBLAS's own.
#pragma once

#include <cstddef>

namespace moegemm::cublas {

/// What NVIDIA recommends for compute capability 9.0 (cuBLAS's documentation, cublasSetWorkspace); less elsewhere.
inline constexpr std::size_t library_bytes = std::size_t{32} << 20;

/// Up to where cuBLAS's part may begin.
[[nodiscard]] constexpr std::size_t workspace_aligned(std::size_t bytes) noexcept {
    constexpr std::size_t alignment = 256;
    return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace moegemm::cublas
