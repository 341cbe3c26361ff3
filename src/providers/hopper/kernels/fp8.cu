#include "providers/hopper/kernels/fp8_e5m2.hpp"
#include "providers/hopper/kernels/shapes.cuh"

namespace moegemm::hopper {

const KernelSet& fp8_kernels(DType a, DType w) {
    if (a != DType::e4m3 || w != DType::e4m3) {
        return fp8_e5m2_kernels(a, w);
    }
    static const KernelSet set = all_shapes<Fp8Elements<ptx::E4m3, ptx::E4m3>>();
    return set;
}

}  // namespace moegemm::hopper
