/// \file
/// A ring of stages: its barriers, and the place in it that a producer or consumer has come to.
#pragma once

#include <cstdint>

#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper {

/// How many of a warp's lanes arrive at a barrier on its behalf: one, after a barrier of the warp. compute-sanitizer's
/// racecheck does not follow the two, and takes what other lanes have read to race with what fills the stage again,
/// also in a ring of a dozen lines. For it (MOEGEMM_RACECHECK) every lane arrives.
#ifdef MOEGEMM_RACECHECK
inline constexpr int warp_arrivals = 32;
#else
inline constexpr int warp_arrivals = 1;
#endif

/// A warp's arrivals. All lanes call together; what they have read or written must be ordered before by a barrier of
/// the warp.
/// \param thread of the warpgroup
__device__ __forceinline__ void warp_arrive(ptx::SharedAddress barrier, int thread) {
    if (warp_arrivals == 32 || thread % 32 == 0) {
        ptx::mbarrier_arrive(barrier);
    }
}

/// A barrier a stage that it is full, and another that it is empty.
template <int stages>
struct RingBarriers {
    ptx::SharedAddress first;

    [[nodiscard]] __device__ __forceinline__ ptx::SharedAddress full(int stage) const { return first + stage * 8; }
    [[nodiscard]] __device__ __forceinline__ ptx::SharedAddress empty(int stage) const {
        return first + (stages + stage) * 8;
    }
    /// One thread does, before all others use them.
    /// \param filling, emptying arrivals that end a phase
    __device__ __forceinline__ void init(int filling, int emptying) const {
        for (int stage = 0; stage < stages; ++stage) {
            ptx::mbarrier_init(full(stage), static_cast<std::uint32_t>(filling));
            ptx::mbarrier_init(empty(stage), static_cast<std::uint32_t>(emptying));
        }
        ptx::fence_mbarrier_init();
    }
};

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
