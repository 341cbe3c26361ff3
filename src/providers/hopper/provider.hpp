/// \file
/// Provider `hopper`: TMA and wgmma kernels for compute capability 9.0.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

namespace moegemm {

/// \param general takes every call that these kernels do not: provider `cuda`
[[nodiscard]] std::shared_ptr<const Provider> make_hopper_provider(std::shared_ptr<const Provider> general);

}  // namespace moegemm
