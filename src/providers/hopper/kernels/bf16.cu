#include "providers/hopper/kernels/shapes.cuh"

namespace moegemm::hopper {

const KernelSet& bf16_kernels() {
    static const KernelSet set = all_shapes<Bf16Elements>();
    return set;
}

}  // namespace moegemm::hopper
