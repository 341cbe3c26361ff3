// Small kernels of the benchmark: nothing, waiting, and reading memory in two ways.
#include "bench/cuda/kernels.hpp"

#include <algorithm>

#include "cuda/error.hpp"

namespace moegemm::bench::cuda {
namespace {

using moegemm::cuda::check;

__global__ void empty() {}

__global__ void wait(std::int64_t nanoseconds) {
    std::int64_t start = 0;
    std::int64_t now = 0;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
    do {
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    } while (now - start < nanoseconds);
}

/// An L2 policy for loads that nobody will repeat.
__device__ std::uint64_t evict_first() {
    std::uint64_t policy = 0;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

__device__ uint4 load(const uint4* address) {
    uint4 value{};
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(address));
    return value;
}

__device__ uint4 load(const uint4* address, std::uint64_t policy) {
    uint4 value{};
    asm volatile("ld.global.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(address), "l"(policy));
    return value;
}

constexpr int vector_threads = 512;
constexpr int vector_unroll = 8;  // 64 KB in flight a CTA

/// Vectors i, i + stride, … of each thread, eight loads in flight.
/// \param sink null; that the values might go there is what keeps the loads from being optimised away
template <bool KeepInCache>
__global__ void __launch_bounds__(vector_threads)
    read_vectors(const uint4* data, std::int64_t count, std::uint32_t* sink) {
    const std::uint64_t policy = evict_first();
    const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * vector_threads;
    std::uint32_t bits = 0;
    for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * vector_threads + threadIdx.x; first < count;
         first += stride * vector_unroll) {
        uint4 values[vector_unroll];
#pragma unroll
        for (int i = 0; i < vector_unroll; ++i) {
            const std::int64_t at = first + i * stride;
            values[i] = {};
            if (at < count) {
                values[i] = KeepInCache ? load(data + at) : load(data + at, policy);
            }
        }
#pragma unroll
        for (int i = 0; i < vector_unroll; ++i) {
            bits |= values[i].x ^ values[i].y ^ values[i].z ^ values[i].w;
        }
    }
    if (sink != nullptr) {
        *sink = bits;
    }
}

/// One thread keeps `stages` bulk copies in flight; a stage is copied into again as soon as it is full.
///
///     shared memory   | stage 0 | stage 1 | … | a barrier a stage |
///     copy i of CTA b : bytes [(i·CTAs + b)·size, … + size), into stage i mod stages
__global__ void read_ring(const std::byte* data, std::int64_t bytes, std::int32_t size, std::int32_t stages) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    extern __shared__ __align__(128) std::byte shared[];
    if (threadIdx.x != 0) {
        return;
    }
    const auto ring = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
    const std::uint32_t barriers = ring + static_cast<std::uint32_t>(stages * size);
    const std::uint64_t policy = evict_first();
    for (int stage = 0; stage < stages; ++stage) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barriers + 8 * stage) : "memory");
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * size;
    const auto issue = [&](std::int64_t at, int stage) {
        const auto length = static_cast<std::uint32_t>(min(static_cast<std::int64_t>(size), bytes - at));
        const std::uint32_t barrier = barriers + 8 * stage;
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(length) : "memory");
        asm volatile(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], "
            "%4;" ::"r"(ring + static_cast<std::uint32_t>(stage * size)),
            "l"(data + at), "r"(length), "r"(barrier), "l"(policy)
            : "memory");
    };
    const auto wait_full = [&](int stage, std::uint32_t parity) {
        asm volatile(
            "{\n"
            ".reg .pred full;\n"
            "again:\n"
            "mbarrier.try_wait.parity.shared::cta.b64 full, [%0], %1;\n"
            "@!full bra again;\n"
            "}" ::"r"(barriers + 8 * stage),
            "r"(parity)
            : "memory");
    };
    const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * size;
    std::int64_t next = first;  // to be issued
    for (int stage = 0; stage < stages && next < bytes; ++stage, next += step) {
        issue(next, stage);
    }
    int stage = 0;
    std::uint32_t parity = 0;
    for (std::int64_t at = first; at < bytes; at += step) {
        wait_full(stage, parity);
        if (next < bytes) {
            issue(next, stage);
            next += step;
        }
        if (++stage == stages) {
            stage = 0;
            parity ^= 1;
        }
    }
#endif
}

std::int64_t ceil_div(std::int64_t value, std::int64_t divisor) { return (value + divisor - 1) / divisor; }

void check_launch(const char* what) { check(cudaGetLastError(), what); }

}  // namespace

void launch_empty(cudaStream_t stream) {
    empty<<<1, 32, 0, stream>>>();
    check_launch("an empty kernel");
}

void launch_wait(std::int64_t microseconds, cudaStream_t stream) {
    wait<<<1, 1, 0, stream>>>(microseconds * 1000);
    check_launch("a kernel that waits");
}

void launch_read_over(const void* data, std::int64_t bytes, cudaStream_t stream) {
    constexpr unsigned ctas = 528;
    read_vectors<true><<<ctas, vector_threads, 0, stream>>>(static_cast<const uint4*>(data), bytes / 16, nullptr);
    check_launch("reading over the cache");
}

void launch_read(const ReadWay& way, const void* data, std::int64_t bytes, int multiprocessors, cudaStream_t stream) {
    const std::int64_t most_ctas = static_cast<std::int64_t>(way.ctas) * multiprocessors;
    if (way.kind == ReadWay::Kind::vectors) {
        const auto ctas = static_cast<unsigned>(
            std::min(most_ctas, ceil_div(bytes, std::int64_t{16} * vector_threads * vector_unroll)));
        read_vectors<false><<<ctas, vector_threads, 0, stream>>>(static_cast<const uint4*>(data), bytes / 16, nullptr);
    } else {
        const std::int64_t rounds = ceil_div(bytes, most_ctas * way.bytes);
        const auto size = static_cast<std::int32_t>(ceil_div(ceil_div(bytes, most_ctas * rounds), 128) * 128);
        const auto ctas = static_cast<unsigned>(std::min(most_ctas, ceil_div(bytes, size)));
        const int shared = way.stages * (size + 8);
        check(cudaFuncSetAttribute(read_ring, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   way.stages * (way.bytes + 128 + 8)),
              "the shared memory of a read");
        read_ring<<<ctas, 32, static_cast<std::size_t>(shared), stream>>>(static_cast<const std::byte*>(data), bytes,
                                                                          size, way.stages);
    }
    check_launch("a read kernel");
}

}  // namespace moegemm::bench::cuda
