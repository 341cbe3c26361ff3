/// \file
/// Failures of the CUDA runtime as errors of moegemm.
#pragma once

#include <string>

#include <cuda_runtime_api.h>

#include <moegemm/error.hpp>

namespace moegemm::cuda {

/// \param what the step that was taken: "cudaMalloc of the workspace"
/// \throws Error out_of_memory or internal, naming the step and the runtime's reason
inline void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) {
        (void)cudaGetLastError();  // a failure that leaves the context usable is not reported twice
        throw Error(status == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::internal, what,
                    cudaGetErrorName(status), cudaGetErrorString(status));
    }
}

/// Why there is no GPU to be used, in the words that help most.
/// \param status what cudaGetDeviceCount returned: a failure, or success with no GPU
inline std::string why_no_gpu(cudaError_t status) {
    (void)cudaGetLastError();
    int driver = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) {
        return "no NVIDIA driver is installed";
    }
    if (status == cudaErrorInsufficientDriver) {
        const auto text = [](int version) {
            return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
        };
        return "the NVIDIA driver is too old: it serves CUDA " + text(driver) + ", and this was built with " +
               text(CUDART_VERSION);
    }
    return cudaGetErrorString(status == cudaSuccess ? cudaErrorNoDevice : status);
}

/// The calling thread's current device, put back at the end of the scope.
class UseDevice {
public:
    explicit UseDevice(int ordinal) {
        check(cudaGetDevice(&before_), "cudaGetDevice");
        if (before_ != ordinal) {
            check(cudaSetDevice(ordinal), "cudaSetDevice");
        }
    }
    ~UseDevice() { (void)cudaSetDevice(before_); }
    UseDevice(const UseDevice&) = delete;
    UseDevice& operator=(const UseDevice&) = delete;

private:
    int before_ = 0;
};

}  // namespace moegemm::cuda
