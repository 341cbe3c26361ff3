/// \file
/// The place in a ring of stages that a producer or consumer has come to.
#pragma once

#include <cstdint>

#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper {

template <int stages>
struct RingPlace {
    int stage = 0;
    std::uint32_t parity = 0;  ///< of the phase of the stage's barrier that is waited for

    __device__ __forceinline__ void advance() {
        if (++stage == stages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

/// The first address of dynamic shared memory that swizzled tiles may start at.
__device__ __forceinline__ std::uint8_t* aligned_shared(std::uint8_t* base, int alignment) {
    return base + (alignment - static_cast<int>(ptx::shared_address(base)) % alignment) % alignment;
}

}  // namespace moegemm::hopper
