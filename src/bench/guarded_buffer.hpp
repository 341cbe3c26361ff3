/// \file
/// Memory with a zone of known bytes on either side, to catch writes that leave it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bench/device.hpp"

namespace moegemm::bench {

class GuardedBuffer {
public:
    /// What the guards add to the bytes that are asked for.
    static constexpr std::int64_t guard_bytes = 4096;

    /// \param device must outlive the buffer
    /// \param name   for messages: "y", "workspace"
    /// \throws Error out_of_memory
    GuardedBuffer(Device& device, std::string name, std::int64_t bytes);

    /// Aligned to 4096 bytes.
    [[nodiscard]] void* data() const noexcept { return data_; }
    [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
    /// Makes both guards whole, as they are at first.
    void restore();
    /// Where a guard was written to, in one sentence; empty where both are whole.
    [[nodiscard]] std::string damage() const;

private:
    Device* device_;
    std::string name_;
    std::int64_t bytes_;
    std::shared_ptr<void> memory_;
    std::byte* data_;
};

}  // namespace moegemm::bench
