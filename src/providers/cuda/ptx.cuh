/// \file
/// The instructions that the kernels use, one wrapper each, named as in the PTX manual.
#pragma once

#include <cstdint>

namespace moegemm::cuda::ptx {

/// The address of shared memory in its own window.
[[nodiscard]] __device__ inline std::uint32_t shared_address(const void* pointer) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes from global to shared memory; where they do not exist, zeros are written and nothing is read.
__device__ inline void cp_async_16(std::uint32_t shared, const void* global, bool exists) {
    asm volatile(
        "{\n\t.reg .pred ignored;\n\tsetp.eq.s32 ignored, %2, 0;\n\t"
        "cp.async.cg.shared.global.L2::128B [%0], [%1], 16, ignored;\n\t}" ::"r"(shared),
        "l"(global), "r"(static_cast<int>(exists))
        : "memory");
}
/// 4 bytes likewise; those from `valid` on are written as 0 and not read.
__device__ inline void cp_async_4(std::uint32_t shared, const void* global, int valid) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(global), "r"(valid) : "memory");
}
__device__ inline void cp_async_commit_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until no more than `Pending` of the groups committed last are under way.
template <int Pending>
__device__ inline void cp_async_wait_group() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/// Four 8 × 16-byte matrices: lane i gives the address of row i % 8 of matrix i / 8, and gets of each the 4 bytes from
/// 4 · (i % 4) of row i / 4.
__device__ inline void ldmatrix_x4(std::uint32_t (&matrices)[4], std::uint32_t shared) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(shared)
                 : "memory");
}

/// d += a · b on 16 × 8 × 16 numbers of bf16, sums in f32.
__device__ inline void mma_bf16(float (&d)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                                std::uint32_t b0, std::uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
/// The same of f16.
__device__ inline void mma_f16(float (&d)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                               std::uint32_t b0, std::uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
/// d += a · b on 16 × 8 × 32 numbers of s8, sums in s32.
__device__ inline void mma_s8(std::int32_t (&d)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2,
                              std::uint32_t a3, std::uint32_t b0, std::uint32_t b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// a · b, two bf16 at once. As a sum with −0, which changes nothing: mul.bf16x2 wants compute capability 9.0.
[[nodiscard]] __device__ inline std::uint32_t mul_bf16x2(std::uint32_t a, std::uint32_t b) {
    std::uint32_t product = 0;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000U));
    return product;
}
/// a · b, two f16 at once.
[[nodiscard]] __device__ inline std::uint32_t mul_f16x2(std::uint32_t a, std::uint32_t b) {
    std::uint32_t product = 0;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
    return product;
}
#if __CUDA_ARCH__ >= 890
/// Four e4m3 codes, the lowest byte first, as two f16 each.
__device__ inline void cvt_f16x2_e4m3x2(std::uint32_t codes, std::uint32_t& low, std::uint32_t& high) {
    asm("{\n\t.reg .b16 low, high;\n\tmov.b32 {low, high}, %2;\n\tcvt.rn.f16x2.e4m3x2 %0, low;\n\t"
        "cvt.rn.f16x2.e4m3x2 %1, high;\n\t}"
        : "=r"(low), "=r"(high)
        : "r"(codes));
}
#endif

}  // namespace moegemm::cuda::ptx
