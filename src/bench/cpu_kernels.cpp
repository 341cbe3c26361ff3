#include "bench/cpu_kernels.hpp"

#include "cpu/features.hpp"

namespace moegemm::bench {

std::vector<PeakKernel> peak_kernels() {
    std::vector<PeakKernel> kernels{{"f32", true, ComputeClass::bf16, isa::f32_generic}};
#if defined(__x86_64__)
    const CpuFeatures& cpu = cpu_features();
    kernels.insert(kernels.end(), {
                                      {"f32_avx2", cpu.avx2, ComputeClass::bf16, isa::f32_avx2},
                                      {"f32_avx512", cpu.avx512, ComputeClass::bf16, isa::f32_avx512},
                                      {"bf16_avx512", cpu.avx512_bf16, ComputeClass::bf16, isa::bf16_avx512},
                                      {"bf16_amx", cpu.amx_bf16, ComputeClass::bf16, isa::bf16_amx},
                                      {"int8_avx_vnni", cpu.avx_vnni, ComputeClass::int8, isa::int8_avx_vnni},
                                      {"int8_avx512_vnni", cpu.avx512_vnni, ComputeClass::int8, isa::int8_avx512_vnni},
                                      {"int8_amx", cpu.amx_int8, ComputeClass::int8, isa::int8_amx},
                                  });
#endif
    return kernels;
}

isa::ReadKernel read_kernel() {
#if defined(__x86_64__)
    if (cpu_features().avx512) {
        return isa::read_avx512;
    }
    if (cpu_features().avx2) {
        return isa::read_avx2;
    }
#endif
    return isa::read_generic;
}

}  // namespace moegemm::bench
