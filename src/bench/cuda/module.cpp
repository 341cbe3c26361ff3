#include "bench/cuda/module.hpp"

#include <string_view>

#include <moegemm/abi.h>

#include "bench/cuda/cuda_device.hpp"

extern "C" MOEGEMM_EXPORT moegemm::bench::Device* moegemm_bench_cuda_device(const char* stamp, int ordinal);

moegemm::bench::Device* moegemm_bench_cuda_device(const char* stamp, int ordinal) {
    if (stamp == nullptr || std::string_view(stamp) != MOEGEMM_BENCH_STAMP) {
        return nullptr;
    }
    return new moegemm::bench::cuda::CudaDevice(ordinal);
}
