/// \file
/// Instructions of whole warps and warpgroups other than products.
#pragma once

#include <cstdint>

#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper::ptx {

/// Gives registers of the warpgroup back, or takes them: `count` a thread from now on.
template <int count>
__device__ __forceinline__ void setmaxnreg_dec() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count>
__device__ __forceinline__ void setmaxnreg_inc() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}

/// Waits until the kernel that the stream had before this one has ended and what it wrote is seen, where this one was
/// allowed to start earlier (PTX ISA, "griddepcontrol").
__device__ __forceinline__ void wait_for_kernel_before() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

/// Lets the stream's next kernel start where it is allowed to, once all CTAs have said so or ended.
__device__ __forceinline__ void let_next_kernel_start() { asm volatile("griddepcontrol.launch_dependents;"); }

/// __syncwarp of a whole warp as an instruction. The compiler leaves the other out where it knows that the lanes are
/// together, which tools that look for races do not.
__device__ __forceinline__ void warp_barrier() {
    asm volatile("{\n.reg .b32 lanes;\nactivemask.b32 lanes;\nbar.warp.sync lanes;\n}" ::: "memory");
}

/// A barrier of `threads` threads; number 0 is __syncthreads'.
__device__ __forceinline__ void named_barrier(int number, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

/// The same barrier, and whether `value` is true of all threads.
__device__ __forceinline__ bool named_barrier_all(int number, int threads, bool value) {
    int all;
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.s32 p, %3, 0;\nbarrier.cta.red.and.aligned.pred p, %1, %2, p;\n"
        "selp.s32 %0, 1, 0, p;\n}"
        : "=r"(all)
        : "r"(number), "r"(threads), "r"(static_cast<int>(value))
        : "memory");
    return all != 0;
}

/// Arrives at such a barrier without waiting.
__device__ __forceinline__ void named_barrier_arrive(int number, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

/// Four 8×8 matrices of 16-bit elements from a warp's accumulator fragments; lane l gives the address of row l % 8 of
/// matrix l / 8.
__device__ __forceinline__ void stmatrix_x4(SharedAddress row, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                                            std::uint32_t d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(a), "r"(b), "r"(c),
                 "r"(d)
                 : "memory");
}

/// Four 8×8 matrices of 16-bit elements as a warp's fragments; addresses as for stmatrix_x4.
__device__ __forceinline__ void ldmatrix_x4(SharedAddress row, std::uint32_t (&fragments)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
                 : "r"(row)
                 : "memory");
}

/// sums += left · rightᵀ of a warp alone: left (16, 16), right (8, 16), bf16; fragments as those of 16 rows and of 8
/// columns of wgmma (PTX ISA, "mma.m16n8k16").
__device__ __forceinline__ void mma_bf16(float (&sums)[4], const std::uint32_t* left, std::uint32_t right_front,
                                         std::uint32_t right_back) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right_front), "r"(right_back));
}

/// stmatrix_x4 of matrices whose fragments are the transposed of what is stored: the thread that holds elements (r, c)
/// and (r, c + 1) writes them to rows c and c + 1.
__device__ __forceinline__ void stmatrix_x4_transposed(SharedAddress row, std::uint32_t a, std::uint32_t b,
                                                       std::uint32_t c, std::uint32_t d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(a), "r"(b),
                 "r"(c), "r"(d)
                 : "memory");
}

}  // namespace moegemm::hopper::ptx
