#include "providers/cuda/device.hpp"

#include <exception>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "cuda/error.hpp"

namespace moegemm::cuda {
namespace {

int attribute(cudaDeviceAttr which, int ordinal) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, ordinal), "cudaDeviceGetAttribute");
    return value;
}

Gpus query() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        return {{}, why_no_gpu(status)};
    }
    Gpus found;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        cudaDeviceProp properties{};
        check(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
        found.gpus.push_back({properties.name, properties.major, properties.minor, properties.multiProcessorCount,
                              attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal),
                              attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, ordinal)});
    }
    return found;
}

Gpus query_or_reason() noexcept {
    try {
        return query();
    } catch (const std::exception& error) {
        Gpus none;
        none.reason = error.what();
        return none;
    }
}

}  // namespace

const Gpus& gpus() noexcept {
    static const Gpus found = query_or_reason();
    return found;
}

}  // namespace moegemm::cuda
