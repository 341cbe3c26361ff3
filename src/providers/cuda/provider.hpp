/// \file
/// Provider `cuda`: every variant on any NVIDIA GPU from compute capability 8.0.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

namespace moegemm {

/// PlanOptions::kernel may ask for a size of tiles: "few", "some" or "many" rows an expert.
[[nodiscard]] std::shared_ptr<const Provider> make_cuda_provider();

}  // namespace moegemm
