/// \file
/// Copies of tensor tiles between global and shared memory by the copy engine (PTX ISA, "cp.async.bulk.tensor").
#pragma once

#include <cuda.h>

#include <cstdint>

#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper::ptx {

/// L2 eviction policies as createpolicy.fractional makes them for a fraction of 1.
enum class Evict : std::uint64_t {
    normal = 0x1000000000000000,
    first = 0x12F0000000000000,
    last = 0x14F0000000000000,
};

/// Box at (x, y) of a matrix to `target`; its bytes arrive at `barrier`.
__device__ __forceinline__ void tma_load_2d(SharedAddress target, const CUtensorMap* map, SharedAddress barrier, int x,
                                            int y, Evict policy) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
        "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(target),
        "l"(map), "r"(barrier), "r"(x), "r"(y), "l"(static_cast<std::uint64_t>(policy))
        : "memory");
}

/// The same of matrix z.
__device__ __forceinline__ void tma_load_3d(SharedAddress target, const CUtensorMap* map, SharedAddress barrier, int x,
                                            int y, int z, Evict policy) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
        "[%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(target),
        "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "l"(static_cast<std::uint64_t>(policy))
        : "memory");
}

/// Asks for the box at (x, y) of matrix z into the L2.
__device__ __forceinline__ void tma_prefetch_3d(const CUtensorMap* map, int x, int y, int z, Evict policy) {
    asm volatile("cp.async.bulk.prefetch.tensor.3d.L2.global.tile.L2::cache_hint [%0, {%1, %2, %3}], %4;" ::"l"(map),
                 "r"(x), "r"(y), "r"(z), "l"(static_cast<std::uint64_t>(policy))
                 : "memory");
}

/// `bytes` of global memory to `target`, all three multiples of 16; they arrive at `barrier`.
__device__ __forceinline__ void bulk_load(SharedAddress target, const void* source, std::uint32_t bytes,
                                          SharedAddress barrier, Evict policy) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::
            "r"(target),
        "l"(source), "r"(bytes), "r"(barrier), "l"(static_cast<std::uint64_t>(policy))
        : "memory");
}

/// Box at (x, y) of a matrix from `source`; part of the thread's open bulk group.
__device__ __forceinline__ void tma_store_2d(const CUtensorMap* map, SharedAddress source, int x, int y) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map), "r"(source),
                 "r"(x), "r"(y)
                 : "memory");
}

__device__ __forceinline__ void bulk_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

/// Waits until at most `pending` of the thread's bulk groups still read shared memory.
template <int pending>
__device__ __forceinline__ void bulk_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
}

/// Waits until all of the thread's bulk groups have ended.
__device__ __forceinline__ void bulk_wait_all() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

/// Makes this thread's ordinary stores to shared memory visible to the copy engine.
__device__ __forceinline__ void fence_async_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

}  // namespace moegemm::hopper::ptx
