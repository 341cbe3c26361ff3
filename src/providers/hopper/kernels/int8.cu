#include "providers/hopper/kernels/shapes.cuh"

namespace moegemm::hopper {

const KernelSet& int8_kernels() {
    static const KernelSet set = all_shapes<Int8Elements>();
    return set;
}

}  // namespace moegemm::hopper
