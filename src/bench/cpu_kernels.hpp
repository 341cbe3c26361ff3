/// \file
/// Which of the benchmark's own kernels this machine can run.
#pragma once

#include <string_view>
#include <vector>

#include "bench/device.hpp"
#include "bench/isa/kernels.hpp"

namespace moegemm::bench {

/// One row of the table of peak kernels.
struct PeakKernel {
    std::string_view name;
    bool available;  ///< on this machine
    ComputeClass type;
    isa::Peak (*peak)();  ///< to be called only where available
};

/// All that were built in, in the order from narrow to wide.
[[nodiscard]] std::vector<PeakKernel> peak_kernels();

/// The widest read kernel that this machine can run.
[[nodiscard]] isa::ReadKernel read_kernel();

}  // namespace moegemm::bench
