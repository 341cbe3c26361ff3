/// \file
/// Provider `cublas`: cuBLAS's grouped product of bf16 on NVIDIA GPUs.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

namespace moegemm {

/// Loads cuBLAS from where MOEGEMM_CUBLAS says (the library or its folder), else from NVIDIA's packages in
/// site-packages, /usr/local/cuda, or the loader's folders.
[[nodiscard]] std::shared_ptr<const Provider> make_cublas_provider();

}  // namespace moegemm
