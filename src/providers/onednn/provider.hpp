/// \file
/// Provider `onednn`: oneDNN's matrix products on a CPU, one an expert.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

namespace moegemm {

/// Loads oneDNN 3.x, from where MOEGEMM_ONEDNN says (a library or its folder), else from an environment's `lib`,
/// `../onednn/lib` of the program's folder, or the loader's folders. Where that fails, info().unavailable says why.
[[nodiscard]] std::shared_ptr<const Provider> make_onednn_provider();

}  // namespace moegemm
