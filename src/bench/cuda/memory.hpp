/// \file
/// Memory of the current GPU.
#pragma once

#include <cstdint>
#include <memory>

namespace moegemm::bench::cuda {

/// Bytes that can still be allocated.
[[nodiscard]] std::int64_t free_bytes();

/// Uninitialised, aligned to 4096 bytes, freed with the pointer.
/// \throws Error out_of_memory, before anything is asked for where there is too little
[[nodiscard]] std::shared_ptr<void> allocate(std::int64_t bytes);

}  // namespace moegemm::bench::cuda
