/// \file
/// This machine's processors as a device of the benchmark.
#pragma once

#include <map>

#include "bench/cache_flush.hpp"
#include "bench/device.hpp"
#include "bench/peak.hpp"
#include "bench/read_floor.hpp"
#include "bench/thread_team.hpp"

namespace moegemm::bench {

class HostDevice final : public Device {
public:
    /// \param threads at least 1
    explicit HostDevice(int threads);

    [[nodiscard]] DLDevice dl() const override { return {kDLCPU, 0}; }
    [[nodiscard]] std::string sku_name() const override { return sku_name_; }
    [[nodiscard]] std::string_view backend() const override { return "CPU"; }
    [[nodiscard]] std::string_view timing_method() const override { return "steady-clock"; }
    [[nodiscard]] int threads() const override { return team_.size(); }
    [[nodiscard]] void* stream() const override { return nullptr; }
    [[nodiscard]] std::int64_t available_bytes() const override;
    [[nodiscard]] std::int64_t own_bytes(CacheRule rule) const override;
    [[nodiscard]] std::shared_ptr<void> allocate(std::int64_t bytes) override;
    void set(void* target, std::uint8_t value, std::int64_t bytes) override;
    void copy_to_host(void* target, const void* source, std::int64_t bytes) override;
    void copy_from_host(void* target, const void* source, std::int64_t bytes) override;
    void fill(const Problem& problem, std::uint64_t seed, Operands& operands) override;
    [[nodiscard]] std::unique_ptr<OperandRows> rows(const Problem& problem, const Operands& operands,
                                                    std::uint64_t seed) override;
    double time(CacheRule rule, const std::function<void()>& call) override;
    [[nodiscard]] double read_floor_us(std::int64_t bytes, CacheRule rule) override;
    [[nodiscard]] std::optional<double> compute_floor_us(std::int64_t m, std::int64_t n, std::int64_t k,
                                                         ComputeClass type, CacheRule rule) override;

private:
    ThreadTeam team_;
    CacheFlush flush_;
    ReadFloor read_floor_;
    std::map<ComputeClass, PeakRate> peaks_;
    std::string sku_name_;
};

}  // namespace moegemm::bench
