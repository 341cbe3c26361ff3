#include "providers/hopper/kernels/fp8_e5m2.hpp"

#include "providers/hopper/kernels/shapes.cuh"

namespace moegemm::hopper {

const KernelSet& fp8_block_e5m2_kernels(DType a, DType w) {
    static const KernelSet both = two_shapes<Fp8BlockElements<ptx::E5m2, ptx::E5m2>>();
    static const KernelSet only_a = two_shapes<Fp8BlockElements<ptx::E5m2, ptx::E4m3>>();
    static const KernelSet only_w = two_shapes<Fp8BlockElements<ptx::E4m3, ptx::E5m2>>();
    return a == DType::e4m3 ? only_w : w == DType::e4m3 ? only_a : both;
}

}  // namespace moegemm::hopper
