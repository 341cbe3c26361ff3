/// \file
/// Failures of the CUDA runtime as errors of moegemm.
#pragma once

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
