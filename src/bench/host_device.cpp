#include "bench/host_device.hpp"

#include <cstring>

#include "bench/host_buffer.hpp"
#include "bench/host_memory.hpp"
#include "bench/machine.hpp"
#include "bench/operand_fill.hpp"
#include "bench/timing.hpp"

namespace moegemm::bench {

HostDevice::HostDevice(int threads)
    : team_(threads), flush_(team_), read_floor_(team_, flush_), sku_name_(probe_machine().cpu_name) {}

std::int64_t HostDevice::available_bytes() const { return available_memory(); }

std::int64_t HostDevice::own_bytes(CacheRule rule) const {
    return rule == CacheRule::warm ? 0 : flush_.bytes_to_allocate();
}

std::shared_ptr<void> HostDevice::allocate(std::int64_t bytes) { return allocate_host(bytes); }

void HostDevice::set(void* target, std::uint8_t value, std::int64_t bytes) {
    auto* const data = static_cast<std::byte*>(target);
    team_.slices(bytes, 4096, [data, value](std::int64_t begin, std::int64_t end) {
        std::memset(data + begin, value, static_cast<std::size_t>(end - begin));
    });
}

void HostDevice::copy_to_host(void* target, const void* source, std::int64_t bytes) {
    if (bytes > 0) {
        std::memcpy(target, source, static_cast<std::size_t>(bytes));
    }
}

void HostDevice::copy_from_host(void* target, const void* source, std::int64_t bytes) {
    copy_to_host(target, source, bytes);
}

void HostDevice::fill(const Problem& problem, std::uint64_t seed, Operands& operands) {
    fill_operands(problem, seed, operands, team_);
}

std::unique_ptr<OperandRows> HostDevice::rows(const Problem& problem, const Operands& operands,
                                              std::uint64_t /*seed*/) {
    return std::make_unique<HostOperandRows>(problem.spec(), operands, problem.m_indptr());
}

double HostDevice::time(CacheRule rule, const std::function<void()>& call) {
    flush_.apply(rule);
    const double start = steady_seconds();
    call();
    return (steady_seconds() - start) * 1e6;
}

double HostDevice::read_floor_us(std::int64_t bytes, CacheRule rule) { return read_floor_.microseconds(bytes, rule); }

std::optional<double> HostDevice::compute_floor_us(std::int64_t m, std::int64_t n, std::int64_t k, ComputeClass type,
                                                   CacheRule /*rule*/) {
    if (type == ComputeClass::fp8) {
        type = ComputeClass::bf16;  // no CPU multiplies 8-bit floats
    }
    const auto [known, is_new] = peaks_.try_emplace(type, type, team_);
    const double rate = is_new ? known->second.best() : known->second.look_again();
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / rate * 1e6;
}

}  // namespace moegemm::bench
