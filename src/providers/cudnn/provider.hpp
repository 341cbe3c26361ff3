/// \file
/// Provider `cudnn`: cuDNN's MoE grouped matmul on NVIDIA GPUs.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

namespace moegemm {

/// Loads cuDNN 9.18 or later from where MOEGEMM_CUDNN says (the library or its folder), else from `../cudnn/lib` of the
/// program's folder, NVIDIA's packages in site-packages, /usr/local/cuda, or the loader's folders.
[[nodiscard]] std::shared_ptr<const Provider> make_cudnn_provider();

}  // namespace moegemm
