/// \file
/// A GPU, checked, and the stream and events on it, freed with their object.
#pragma once

#include <cstdint>
#include <string>

#include <cuda_runtime_api.h>

namespace moegemm::bench::cuda {

/// What of a GPU's properties is of use here.
struct Gpu {
    std::string name;
    std::string pci_bus_id;
    int multiprocessors;
    int major;  ///< of the compute capability
    int minor;
    std::int64_t memory_bytes;
    std::int64_t l2_bytes;
    int driver;  ///< the newest CUDA that the driver serves, as 1000·major + 10·minor
};
/// Makes the GPU's context.
/// \throws Error unsupported ("device") where there is none of this number, with the runtime's reason
[[nodiscard]] Gpu open_gpu(int ordinal);

/// A stream that does not wait for the default one.
class Stream {
public:
    Stream();
    ~Stream() { (void)cudaStreamDestroy(stream_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }

    /// \param what is waited for, for the message
    /// \throws Error as check_finished
    void wait(const char* what) const;

private:
    cudaStream_t stream_ = nullptr;
};

class Event {
public:
    Event();
    ~Event() { (void)cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    [[nodiscard]] cudaEvent_t get() const noexcept { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

/// For a status that work on the device leaves behind.
/// \throws Error internal, naming `what` and the reason; after a failure that took the context along, it says that no
///         later call of the process can succeed
void check_finished(cudaError_t status, const char* what);

}  // namespace moegemm::bench::cuda
