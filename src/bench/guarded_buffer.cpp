#include "bench/guarded_buffer.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace moegemm::bench {
namespace {

constexpr std::uint8_t guard_byte = 0xC3;

}  // namespace

GuardedBuffer::GuardedBuffer(Device& device, std::string name, std::int64_t bytes)
    : device_(&device),
      name_(std::move(name)),
      bytes_(bytes),
      memory_(device.allocate(bytes + 2 * guard_bytes)),
      data_(static_cast<std::byte*>(memory_.get()) + guard_bytes) {
    restore();
}

void GuardedBuffer::restore() {
    device_->set(data_ - guard_bytes, guard_byte, guard_bytes);
    device_->set(data_ + bytes_, guard_byte, guard_bytes);
}

std::string GuardedBuffer::damage() const {
    std::vector<std::uint8_t> guard(guard_bytes);
    const auto is_hit = [](std::uint8_t byte) { return byte != guard_byte; };
    device_->copy_to_host(guard.data(), data_ + bytes_, guard_bytes);
    if (const auto hit = std::find_if(guard.begin(), guard.end(), is_hit); hit != guard.end()) {
        return fmt::format("{} was written past its end, at byte {} of {}", name_, bytes_ + (hit - guard.begin()),
                           bytes_);
    }
    device_->copy_to_host(guard.data(), data_ - guard_bytes, guard_bytes);
    if (const auto hit = std::find_if(guard.rbegin(), guard.rend(), is_hit); hit != guard.rend()) {
        return fmt::format("{} was written before its start, {} bytes ahead", name_, hit - guard.rbegin() + 1);
    }
    return {};
}

}  // namespace moegemm::bench
