/// \file
/// The provider that runs everywhere: all variants on the CPU's vector units, every operand decoded exactly to f32.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

namespace moegemm {

/// PlanOptions::kernel, or the environment variable MOEGEMM_CPU_KERNEL, asks for a kernel family by name: "avx512",
/// "avx2", "generic".
[[nodiscard]] std::shared_ptr<const Provider> make_cpu_provider();

}  // namespace moegemm
