/// \file
/// The float64 reference as a provider: every variant, every dst type, the full scale range, one CPU thread.
/// Its run() allocates the sums before their rounding (8 bytes an element of y); it is there to be right, not timed.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

namespace moegemm {

[[nodiscard]] std::shared_ptr<const Provider> make_reference_provider();

}  // namespace moegemm
