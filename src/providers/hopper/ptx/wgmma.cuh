/// \file
/// The warpgroup's matrix product, operands in shared memory, 64 rows by N columns (PTX ISA, "wgmma.mma_async").
#pragma once

#include <cstdint>

#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper::ptx {

/// Element types of operands.
struct Bf16 {};
struct S8 {};
struct E4m3 {};
struct E5m2 {};

/// Orders this warpgroup's accesses to accumulators and shared memory before the products that follow.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits until at most `pending` groups of products are in flight.
template <int pending>
__device__ __forceinline__ void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/// Accumulators as they are at this place of the program: neither taken before a wait above, nor kept from before.
template <int count>
__device__ __forceinline__ void settle(float (&sums)[count]) {
#pragma unroll
    for (int i = 0; i < count; ++i) {
        asm volatile("" : "+f"(sums[i])::"memory");
    }
}
template <int count>
__device__ __forceinline__ void settle(int (&sums)[count]) {
#pragma unroll
    for (int i = 0; i < count; ++i) {
        asm volatile("" : "+r"(sums[i])::"memory");
    }
}

/// Describes an operand whose rows are 128 bytes along K, swizzled over 128 bytes: groups of 8 rows lie 1024 bytes
/// apart (PTX ISA, "Matrix descriptor"). This is its lower half, the upper one being the same for all; one step along K
/// within the row adds its bytes / 16.
__device__ __forceinline__ std::uint32_t swizzled_128_descriptor(SharedAddress tile) {
    constexpr std::uint32_t leading = std::uint32_t{1} << 16;  // ignored for swizzled K-major operands
    return (tile >> 4) | leading;
}
inline constexpr std::uint32_t upper_descriptor = (1024 / 16) | (std::uint32_t{1} << 30);  // stride, 128-byte swizzle

/// d = left · rightᵀ (+ d where `accumulate`): left (64, k), right (N, k), d's N / 2 registers a thread as
/// accumulator_row and accumulator_column (fragment.hpp) place them. `k` is the instruction's depth.
template <class Left, class Right, int N>
struct Wgmma;

/// The same with the left operand in registers, which must not change until the product has been waited for: of bf16
/// four pairs of values a thread, of rows g and g + 8 at k = 2c and of both at k = 2c + 8 (PTX ISA, "WGMMA .m64nNk16 A
/// fragment").
template <class Type, int N>
struct WgmmaRegisters;

// Assembler text names an instruction's registers by number, so that each N has its own list.
// clang-format off
#define MOEGEMM_REGISTERS_4 "%0, %1, %2, %3"
#define MOEGEMM_REGISTERS_8 ", %4, %5, %6, %7"
#define MOEGEMM_REGISTERS_16 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define MOEGEMM_REGISTERS_32 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define MOEGEMM_REGISTERS_48 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define MOEGEMM_REGISTERS_64 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define MOEGEMM_REGISTERS_96 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define MOEGEMM_REGISTERS_128 ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define MOEGEMM_OPERANDS_4(C, b) "+" C(d[b]), "+" C(d[b + 1]), "+" C(d[b + 2]), "+" C(d[b + 3])
#define MOEGEMM_OPERANDS_8(C, b) MOEGEMM_OPERANDS_4(C, b), MOEGEMM_OPERANDS_4(C, b + 4)
#define MOEGEMM_OPERANDS_16(C, b) MOEGEMM_OPERANDS_8(C, b), MOEGEMM_OPERANDS_8(C, b + 8)
#define MOEGEMM_OPERANDS_32(C, b) MOEGEMM_OPERANDS_16(C, b), MOEGEMM_OPERANDS_16(C, b + 16)
#define MOEGEMM_OPERANDS_48(C, b) MOEGEMM_OPERANDS_32(C, b), MOEGEMM_OPERANDS_16(C, b + 32)
#define MOEGEMM_OPERANDS_64(C, b) MOEGEMM_OPERANDS_32(C, b), MOEGEMM_OPERANDS_32(C, b + 32)
#define MOEGEMM_OPERANDS_96(C, b) MOEGEMM_OPERANDS_64(C, b), MOEGEMM_OPERANDS_32(C, b + 64)
#define MOEGEMM_OPERANDS_128(C, b) MOEGEMM_OPERANDS_64(C, b), MOEGEMM_OPERANDS_64(C, b + 64)

// LEFT, RIGHT: types; N, K: shape; SUM, C: accumulator's type and constraint; TYPES, TAIL: parts of the instruction;
// A, B, P: numbers of the operands after the accumulators; LIST: the accumulators' numbers.
#define MOEGEMM_WGMMA(LEFT, RIGHT, N, K, SUM, C, TYPES, TAIL, A, B, P, LIST, COUNT)                                   \
    template <>                                                                                                       \
    struct Wgmma<LEFT, RIGHT, N> {                                                                                    \
        using Sum = SUM;                                                                                              \
        static constexpr int k = K;                                                                                   \
        static constexpr int registers = COUNT;                                                                       \
        __device__ static __forceinline__ void issue(SUM (&d)[COUNT], std::uint32_t left, std::uint32_t right,        \
                                                     int accumulate) {                                                \
            const std::uint64_t a = std::uint64_t{upper_descriptor} << 32 | left;                                     \
            const std::uint64_t b = std::uint64_t{upper_descriptor} << 32 | right;                                    \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #P ", 0;\n"                                            \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k" #K TYPES " {" LIST "}, %" #A ", %" #B ", p" TAIL   \
                         ";\n}"                                                                                       \
                         : MOEGEMM_OPERANDS_##COUNT(C, 0)                                                              \
                         : "l"(a), "l"(b), "r"(accumulate));                                                          \
        }                                                                                                             \
    };
// The same with the left operand in registers: R0 … R3 are the numbers of the operands that hold it.
#define MOEGEMM_WGMMA_REGISTERS(TYPE, N, K, TYPES, TAIL, R0, R1, R2, R3, B, P, LIST, COUNT)                            \
    template <>                                                                                                       \
    struct WgmmaRegisters<TYPE, N> {                                                                                  \
        static constexpr int registers = COUNT;                                                                       \
        __device__ static __forceinline__ void issue(float (&d)[COUNT], const std::uint32_t* left,                    \
                                                     std::uint32_t right, int accumulate) {                           \
            const std::uint64_t b = std::uint64_t{upper_descriptor} << 32 | right;                                    \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #P ", 0;\n"                                            \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k" #K TYPES " {" LIST "}, {%" #R0 ", %" #R1 ", %"     \
                         #R2 ", %" #R3 "}, %" #B ", p" TAIL ";\n}"                                                    \
                         : MOEGEMM_OPERANDS_##COUNT("f", 0)                                                            \
                         : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(b), "r"(accumulate));           \
        }                                                                                                             \
    };
#define MOEGEMM_WGMMA_REGISTERS_BF16(N, R0, R1, R2, R3, B, P, LIST, COUNT)                                            \
    MOEGEMM_WGMMA_REGISTERS(Bf16, N, 16, ".f32.bf16.bf16", ", 1, 1, 0", R0, R1, R2, R3, B, P, LIST, COUNT)
#define MOEGEMM_WGMMA_TYPES(N, A, B, P, LIST, COUNT)                                                                  \
    MOEGEMM_WGMMA(Bf16, Bf16, N, 16, float, "f", ".f32.bf16.bf16", ", 1, 1, 0, 0", A, B, P, LIST, COUNT)              \
    MOEGEMM_WGMMA(S8, S8, N, 32, int, "r", ".s32.s8.s8", "", A, B, P, LIST, COUNT)                                    \
    MOEGEMM_WGMMA(E4m3, E4m3, N, 32, float, "f", ".f32.e4m3.e4m3", ", 1, 1", A, B, P, LIST, COUNT)                    \
    MOEGEMM_WGMMA(E4m3, E5m2, N, 32, float, "f", ".f32.e4m3.e5m2", ", 1, 1", A, B, P, LIST, COUNT)                    \
    MOEGEMM_WGMMA(E5m2, E4m3, N, 32, float, "f", ".f32.e5m2.e4m3", ", 1, 1", A, B, P, LIST, COUNT)                    \
    MOEGEMM_WGMMA(E5m2, E5m2, N, 32, float, "f", ".f32.e5m2.e5m2", ", 1, 1", A, B, P, LIST, COUNT)
MOEGEMM_WGMMA_TYPES(8, 4, 5, 6, MOEGEMM_REGISTERS_4, 4)
MOEGEMM_WGMMA_TYPES(16, 8, 9, 10, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8, 8)
MOEGEMM_WGMMA_TYPES(32, 16, 17, 18, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16, 16)
MOEGEMM_WGMMA_TYPES(64, 32, 33, 34, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32, 32)
MOEGEMM_WGMMA_TYPES(96, 48, 49, 50, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32 MOEGEMM_REGISTERS_48, 48)
MOEGEMM_WGMMA_TYPES(128, 64, 65, 66, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32 MOEGEMM_REGISTERS_64, 64)
MOEGEMM_WGMMA_TYPES(192, 96, 97, 98, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32 MOEGEMM_REGISTERS_64 MOEGEMM_REGISTERS_96, 96)
MOEGEMM_WGMMA_TYPES(256, 128, 129, 130, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32 MOEGEMM_REGISTERS_64 MOEGEMM_REGISTERS_96 MOEGEMM_REGISTERS_128, 128)
MOEGEMM_WGMMA_REGISTERS_BF16(16, 8, 9, 10, 11, 12, 13, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8, 8)
MOEGEMM_WGMMA_REGISTERS_BF16(32, 16, 17, 18, 19, 20, 21, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16, 16)
MOEGEMM_WGMMA_REGISTERS_BF16(64, 32, 33, 34, 35, 36, 37, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32, 32)
MOEGEMM_WGMMA_REGISTERS_BF16(96, 48, 49, 50, 51, 52, 53, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32 MOEGEMM_REGISTERS_48, 48)
MOEGEMM_WGMMA_REGISTERS_BF16(128, 64, 65, 66, 67, 68, 69, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32 MOEGEMM_REGISTERS_64, 64)
MOEGEMM_WGMMA_REGISTERS_BF16(192, 96, 97, 98, 99, 100, 101, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32 MOEGEMM_REGISTERS_64 MOEGEMM_REGISTERS_96, 96)
MOEGEMM_WGMMA_REGISTERS_BF16(256, 128, 129, 130, 131, 132, 133, MOEGEMM_REGISTERS_4 MOEGEMM_REGISTERS_8 MOEGEMM_REGISTERS_16 MOEGEMM_REGISTERS_32 MOEGEMM_REGISTERS_64 MOEGEMM_REGISTERS_96 MOEGEMM_REGISTERS_128, 128)
// clang-format on
#undef MOEGEMM_REGISTERS_4
#undef MOEGEMM_REGISTERS_8
#undef MOEGEMM_REGISTERS_16
#undef MOEGEMM_REGISTERS_32
#undef MOEGEMM_REGISTERS_48
#undef MOEGEMM_REGISTERS_64
#undef MOEGEMM_REGISTERS_96
#undef MOEGEMM_REGISTERS_128
#undef MOEGEMM_OPERANDS_4
#undef MOEGEMM_OPERANDS_8
#undef MOEGEMM_OPERANDS_16
#undef MOEGEMM_OPERANDS_32
#undef MOEGEMM_OPERANDS_48
#undef MOEGEMM_OPERANDS_64
#undef MOEGEMM_OPERANDS_96
#undef MOEGEMM_OPERANDS_128
#undef MOEGEMM_WGMMA
#undef MOEGEMM_WGMMA_REGISTERS_BF16
#undef MOEGEMM_WGMMA_REGISTERS
#undef MOEGEMM_WGMMA_TYPES

}  // namespace moegemm::hopper::ptx
