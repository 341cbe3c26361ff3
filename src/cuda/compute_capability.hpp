/// \file
/// Which GPUs a provider can use.
#pragma once

#include <string>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <moegemm/provider.hpp>

#include "cuda/error.hpp"

namespace moegemm::cuda {

/// The compute capability of a GPU, ten times its major number and its minor one; 0 for one that there is not.
inline int compute_capability(int device) noexcept {
    int major = 0;
    int minor = 0;
    const bool known = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
                       cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess;
    (void)cudaGetLastError();
    return known ? 10 * major + minor : 0;
}

/// Whether this machine has a GPU of at least a compute capability, or why it has none to use.
inline Support any_gpu_from(int least) {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        return Support::no(why_no_gpu(status));
    }
    for (int device = 0; device < count; ++device) {
        if (compute_capability(device) >= least) {
            return Support::yes();
        }
    }
    return Support::no(fmt::format("no GPU of compute capability {}.{} or later", least / 10, least % 10));
}

/// Whether `holds` is true of the compute capability of each GPU of at least `least`.
template <class Predicate>
bool every_gpu_from(int least, Predicate&& holds) {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    for (int device = 0; device < count; ++device) {
        if (const int capability = compute_capability(device); capability >= least && !holds(capability)) {
            return false;
        }
    }
    return true;
}

/// \throws Error unsupported ("device") for one that any_gpu_from would not take
inline void check_device(DLDevice device, int least) {
    if (device.device_type != kDLCUDA || compute_capability(device.device_id) < least) {
        throw Error(ErrorCode::unsupported, "device",
                    fmt::format("device type {}, number {}", static_cast<int>(device.device_type), device.device_id),
                    fmt::format("a GPU of compute capability {}.{} or later", least / 10, least % 10));
    }
}

}  // namespace moegemm::cuda
