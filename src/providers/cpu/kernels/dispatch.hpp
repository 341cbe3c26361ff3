/// \file
/// Which kernels this machine has, and which of them a plan uses.
#pragma once

#include <span>
#include <string_view>

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

/// The families that this machine can run, the fastest first; the last is "generic". The CPU's features are read once.
[[nodiscard]] std::span<const KernelFamily* const> available_families() noexcept;

/// The family of that name; for an empty name the one that the environment variable MOEGEMM_CPU_KERNEL names, or else
/// the fastest.
/// \throws Error invalid_argument ("kernel", or the variable's name) for a name that this machine does not have
[[nodiscard]] const KernelFamily& choose_family(std::string_view name);

}  // namespace moegemm::cpu
