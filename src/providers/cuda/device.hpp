/// \file
/// The GPUs of this machine, as far as launching depends on them.
#pragma once

#include <string>
#include <vector>

namespace moegemm::cuda {

struct Gpu {
    std::string name;
    int major;  ///< of the compute capability
    int minor;
    int multiprocessors;
    int block_shared_bytes;  ///< shared memory that a thread block may have
    int sm_shared_bytes;     ///< and that a multiprocessor has
};

/// What was found when it was first asked.
struct Gpus {
    std::vector<Gpu> gpus;  ///< by ordinal
    std::string reason;     ///< why there are none
};
/// Never throws, and never makes a context on a device.
[[nodiscard]] const Gpus& gpus() noexcept;

/// The least compute capability: that of mma.sync on bf16 and of cp.async.
inline constexpr int least_major = 8;

}  // namespace moegemm::cuda
