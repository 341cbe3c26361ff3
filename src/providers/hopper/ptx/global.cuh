/// \file
/// Global memory by which CTAs tell each other what they have written.
#pragma once

#include <cstdint>

namespace moegemm::hopper::ptx {

/// Orders this thread's accesses to global memory and those of the copy engine (PTX ISA, "fence.proxy.async").
__device__ __forceinline__ void fence_async_global() { asm volatile("fence.proxy.async.global;" ::: "memory"); }

/// Reads a word; what was written before add_release made it what it is, is seen from here on.
[[nodiscard]] __device__ __forceinline__ std::uint32_t load_acquire(const std::uint32_t* word) {
    std::uint32_t value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
    return value;
}

/// Reads a word; what was written before store_release made it what it is, is seen from here on.
[[nodiscard]] __device__ __forceinline__ std::uint64_t load_acquire(const std::uint64_t* word) {
    std::uint64_t value;
    asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
    return value;
}

/// Adds to a word, after all that was written before.
__device__ __forceinline__ void add_release(std::uint32_t* word, std::uint32_t value) {
    asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(word), "r"(value) : "memory");
}

/// Writes a word, after all that was written before.
__device__ __forceinline__ void store_release(std::uint64_t* word, std::uint64_t value) {
    asm volatile("st.release.gpu.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}

}  // namespace moegemm::hopper::ptx
