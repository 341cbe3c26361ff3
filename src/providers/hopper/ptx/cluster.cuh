/// \file
/// Instructions of CTAs that run side by side as a cluster, and may write to each other's shared memory.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "providers/hopper/ptx/mbarrier.cuh"
#include "providers/hopper/ptx/tma.cuh"

namespace moegemm::hopper::ptx {

/// This CTA's number in its cluster.
__device__ __forceinline__ int cluster_rank() {
    int rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/// Waits until all threads of the cluster are here.
__device__ __forceinline__ void cluster_sync() {
    asm volatile("barrier.cluster.arrive;\nbarrier.cluster.wait;" ::: "memory");
}

/// Arrives at the barrier that lies at the same address in CTA `rank` of the cluster. Unqualified, as those of
/// mbarrier.cuh.
__device__ __forceinline__ void mbarrier_arrive_at(SharedAddress barrier, int rank) {
    asm volatile(
        "{\n.reg .b32 there;\n"
        "mapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(barrier),
        "r"(rank)
        : "memory");
}

/// tma_load_2d into each CTA of the cluster whose bit is set in `ranks`, at the same addresses in all of them.
__device__ __forceinline__ void tma_load_2d_to(SharedAddress target, const CUtensorMap* map, SharedAddress barrier,
                                               int x, int y, std::uint16_t ranks, Evict policy) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster.L2::cache_hint "
        "[%0], [%1, {%3, %4}], [%2], %5, %6;" ::"r"(target),
        "l"(map), "r"(barrier), "r"(x), "r"(y), "h"(ranks), "l"(static_cast<std::uint64_t>(policy))
        : "memory");
}

}  // namespace moegemm::hopper::ptx
