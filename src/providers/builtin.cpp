/// \file
/// The providers that are part of the library: the only place that names them.
#include "providers/cpu/provider.hpp"
#include "providers/onednn/provider.hpp"
#include "providers/reference/provider.hpp"

namespace moegemm {

Registry Registry::with_builtin() {
    Registry registry;
    registry.add(make_reference_provider(), "built in");
    registry.add(make_cpu_provider(), "built in");
    registry.add(make_onednn_provider(), "built in");
    return registry;
}

}  // namespace moegemm
