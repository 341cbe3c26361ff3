#include "providers/hopper/kernels/decoded_formats.hpp"
#include "providers/hopper/kernels/decoded_kinds.cuh"

namespace moegemm::hopper {

const KernelSet& nvfp4_weight_kernels() {
    static const KernelSet set = decoded_set<WeightFormat::e2m1_ue4m3>();
    return set;
}

}  // namespace moegemm::hopper
