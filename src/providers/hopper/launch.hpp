/// \file
/// What every kernel's launch has in common.
#pragma once

#include <cstdint>

#include <moegemm/tensor.hpp>

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

[[nodiscard]] inline bool is_aligned(const void* address, std::int64_t bytes) {
    return reinterpret_cast<std::uintptr_t>(address) % static_cast<std::uintptr_t>(bytes) == 0;
}

/// A call's rows, columns and experts, its alpha, and how y is written.
[[nodiscard]] Call output_call(const GemmSpec& spec, const Operands& operands);

/// Gives a launch of the call a counter and a ticket of its own (tile_queue.cuh).
/// \param at of the workspace; no other launch at the same time may have it
void set_counter(Call& call, void* at);

/// Lets the kernel's CTAs have the shared memory that they need.
/// \throws Error internal where the device refuses
void allow_shared_memory(const Kernel& kernel, DLDevice device);

/// Launches on the current device, a CTA on every place that the SMs have for one.
/// \param arguments   the kernel's, in their order
/// \param overlapping whether it may start before the stream's last kernel has ended, which it waits for by itself
/// \throws Error internal where the device refuses
void launch(const Kernel& kernel, int processors, void** arguments, void* stream, bool overlapping);

}  // namespace moegemm::hopper
