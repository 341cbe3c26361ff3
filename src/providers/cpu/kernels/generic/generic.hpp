/// \file
/// Kernels in portable C++ vectors: every machine.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

extern const FloatKernels generic_kernels;

}  // namespace moegemm::cpu
