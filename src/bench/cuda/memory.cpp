#include "bench/cuda/memory.hpp"

#include <cstddef>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"

namespace moegemm::bench::cuda {

using moegemm::cuda::check;

std::int64_t free_bytes() {
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return static_cast<std::int64_t>(free);
}

std::shared_ptr<void> allocate(std::int64_t bytes) {
    constexpr std::int64_t alignment = 4096;
    const std::int64_t whole = bytes + alignment;  // cudaMalloc aligns to 256 bytes
    if (const std::int64_t free = free_bytes(); bytes < 0 || whole > free) {
        throw Error(ErrorCode::out_of_memory, "memory", fmt::format("{} bytes of the GPU needed", bytes),
                    fmt::format("what is free, {} bytes", free));
    }
    void* base = nullptr;
    check(cudaMalloc(&base, static_cast<std::size_t>(whole)), "cudaMalloc");
    const std::shared_ptr<void> owner(base, [](void* memory) { (void)cudaFree(memory); });
    const auto address = reinterpret_cast<std::uintptr_t>(base);
    const auto shift = (alignment - static_cast<std::int64_t>(address % alignment)) % alignment;
    return {owner, static_cast<std::byte*>(base) + shift};
}

}  // namespace moegemm::bench::cuda
