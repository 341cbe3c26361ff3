#include "providers/cuda/kernels.hpp"

#include "providers/cuda/recipes.cuh"

namespace moegemm::cuda {

std::span<const KernelRow> kernel_table() {
    using namespace recipes;
    // Of one operand or of both, a staged ue8m0 scale is a quarter of what it stands for, and a value scaled by ue4m3
    // 2^-8 of itself.
    static const std::array rows{
        KernelRow{Variant::bf16, false, "bf16", 1, kernels_of<Bf16>()},
        KernelRow{Variant::int8, false, "int8", 1, kernels_of<Int8>()},
        KernelRow{Variant::fp8, false, "fp8", 1, kernels_of<Fp8>()},
        KernelRow{Variant::fp8, true, "fp8_either", 1, kernels_of<Fp8Either>()},
        KernelRow{Variant::fp8_token, false, "fp8", 1, kernels_of<Fp8>()},
        KernelRow{Variant::fp8_token, true, "fp8_either", 1, kernels_of<Fp8Either>()},
        KernelRow{Variant::fp8_block, false, "fp8_block", 1, kernels_of<Fp8Block>()},
        KernelRow{Variant::fp8_block, true, "fp8_block_either", 1, kernels_of<Fp8BlockEither>()},
        KernelRow{Variant::mxfp8, false, "mxfp8", 1, kernels_of<Mxfp8>()},
        KernelRow{Variant::mxfp8, true, "mxfp8_either", 1, kernels_of<Mxfp8Either>()},
        KernelRow{Variant::mxfp4, false, "mxfp4", 1, kernels_of<Mxfp4>()},
        KernelRow{Variant::mxfp4, true, "mxfp4_either", 1, kernels_of<Mxfp4Either>()},
        KernelRow{Variant::mxfp4_a4, false, "mxfp4_a4", 16, kernels_of<Mxfp4A4>()},
        KernelRow{Variant::mxfp4_a16, false, "mxfp4_a16", 4, kernels_of<Mxfp4A16>()},
        KernelRow{Variant::nvfp4, false, "nvfp4", 0x1p16F, kernels_of<Nvfp4>()},
        KernelRow{Variant::nvfp4_a16, false, "nvfp4_a16", 0x1p8F, kernels_of<Nvfp4A16>()},
    };
    return rows;
}

}  // namespace moegemm::cuda
