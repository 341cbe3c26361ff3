#include "providers/hopper/kernels/decoded_formats.hpp"
#include "providers/hopper/kernels/decoded_kinds.cuh"

namespace moegemm::hopper {

const KernelSet& rebased_mxfp4_kernels() {
    static const KernelSet set = rebased_set<WeightFormat::e2m1_ue8m0>();
    return set;
}

}  // namespace moegemm::hopper
