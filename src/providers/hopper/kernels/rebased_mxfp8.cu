#include "providers/hopper/kernels/decoded_formats.hpp"
#include "providers/hopper/kernels/rebased_weights.cuh"

namespace moegemm::hopper {

const Kernel& rebased_mxfp8_kernel() {
    static const Kernel kernel = rebased_kernel<WeightFormat::e4m3_ue8m0>();
    return kernel;
}

}  // namespace moegemm::hopper
