/// \file
/// The place in a ring of stages that a producer or consumer has come to.
#pragma once

#include <cstdint>

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

}  // namespace moegemm::hopper
