#include "bench/cuda/stream.hpp"

#include <array>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"

namespace moegemm::bench::cuda {

using moegemm::cuda::check;

Gpu open_gpu(int ordinal) {
    const std::string device = fmt::format("cuda:{}", ordinal);
    int count = 0;
    if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess || count == 0) {
        throw Error(ErrorCode::unsupported, "device", device,
                    fmt::format("cpu ({})", moegemm::cuda::why_no_gpu(status)));
    }
    if (ordinal < 0 || ordinal >= count) {
        throw Error(ErrorCode::unsupported, "device", device, fmt::format("cpu, or cuda:0 … cuda:{}", count - 1));
    }
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
    std::array<char, 32> bus{};
    check(cudaDeviceGetPCIBusId(bus.data(), bus.size(), ordinal), "cudaDeviceGetPCIBusId");
    check(cudaSetDevice(ordinal), "cudaSetDevice");
    check(cudaFree(nullptr), "the GPU's context");
    int driver = 0;
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    return {properties.name,
            bus.data(),
            properties.multiProcessorCount,
            properties.major,
            properties.minor,
            static_cast<std::int64_t>(properties.totalGlobalMem),
            properties.l2CacheSize,
            driver};
}

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate"); }

void Stream::wait(const char* what) const { check_finished(cudaStreamSynchronize(stream_), what); }

Event::Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }

void check_finished(cudaError_t status, const char* what) {
    if (status == cudaSuccess) {
        return;
    }
    (void)cudaGetLastError();
    // A kernel's own fault (an illegal address, say) is returned by every later call, too.
    const bool lost = cudaDeviceSynchronize() != cudaSuccess;
    throw Error(ErrorCode::internal, what, cudaGetErrorName(status),
                fmt::format("{}{}", cudaGetErrorString(status),
                            lost ? "; the GPU's context is lost: all later calls of this process fail, too" : ""));
}

}  // namespace moegemm::bench::cuda
