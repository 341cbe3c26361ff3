/// \file
/// The benchmark's own small kernels. Each function launches on `stream` and returns at once.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

namespace moegemm::bench::cuda {

/// A kernel that does nothing.
void launch_empty(cudaStream_t stream);

/// Keeps the stream busy for about so many microseconds.
void launch_wait(std::int64_t microseconds, cudaStream_t stream);

/// Reads every byte once, and leaves the cache full of it. \param bytes a multiple of 16
void launch_read_over(const void* data, std::int64_t bytes, cudaStream_t stream);

/// One way to read memory as fast as it can be read. Both mark what they read as the first to leave the L2: it is of no
/// further use, and dirty lines that others left there need not be written back to make room.
struct ReadWay {
    enum class Kind : std::uint8_t {
        vectors,  ///< 16-byte loads of many threads
        ring,     ///< bulk copies into a ring of stages in shared memory, one issuing thread a CTA (from 9.0 on)
    };
    Kind kind;
    int ctas;    ///< a multiprocessor
    int bytes;   ///< ring: about of one copy; every CTA makes equally many of equal size
    int stages;  ///< ring: copies in flight
};

/// Reads [0, bytes) by `way`. \param bytes a multiple of 16, more than 0
void launch_read(const ReadWay& way, const void* data, std::int64_t bytes, int multiprocessors, cudaStream_t stream);

}  // namespace moegemm::bench::cuda
