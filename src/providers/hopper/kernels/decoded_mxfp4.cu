#include "providers/hopper/kernels/decoded_formats.hpp"
#include "providers/hopper/kernels/decoded_kinds.cuh"

namespace moegemm::hopper {

const KernelSet& mxfp4_weight_kernels() {
    static const KernelSet set = decoded_set<WeightFormat::e2m1_ue8m0>();
    return set;
}

}  // namespace moegemm::hopper
