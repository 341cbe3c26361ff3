/// \file
/// Provider `cuda`: every variant on any NVIDIA GPU from compute capability 8.0.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

namespace moegemm {

[[nodiscard]] std::shared_ptr<const Provider> make_cuda_provider();

}  // namespace moegemm
