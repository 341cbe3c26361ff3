/// \file
/// The border between the program and the library of the benchmark's CUDA code, which is loaded where it is asked for,
/// so that the same program runs where there is no driver. C++ objects cross it: both sides are of one build.
#pragma once

#include "bench/device.hpp"

namespace moegemm::bench::cuda {

/// Not "moegemm_….so": those are providers' plug-ins.
inline constexpr const char* module_file = "libmoegemm_bench_cuda.so";
inline constexpr const char* module_entry = "moegemm_bench_cuda_device";

/// \param stamp   MOEGEMM_BENCH_STAMP of the program: headers that both sides see, compiler, kind of build
/// \param ordinal of the GPU
/// \return to be deleted by the caller; null for another stamp
/// \throws Error unsupported ("device") where there is no such GPU, with the runtime's reason
using ModuleEntry = Device* (*)(const char* stamp, int ordinal);

}  // namespace moegemm::bench::cuda
