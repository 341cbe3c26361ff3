/// \file
/// An NVIDIA GPU as a device of the benchmark.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "bench/cuda/call_timer.hpp"
#include "bench/cuda/dense_product.hpp"
#include "bench/cuda/memory.hpp"
#include "bench/cuda/meters.hpp"
#include "bench/cuda/read_floor.hpp"
#include "bench/cuda/stream.hpp"
#include "bench/device.hpp"

namespace moegemm::bench::cuda {

/// Everything is enqueued on one stream of its own. May be used by any thread, by one at a time.
class CudaDevice final : public Device {
public:
    /// \throws Error unsupported ("device") where there is no such GPU, with the runtime's reason
    explicit CudaDevice(int ordinal);
    ~CudaDevice() override;
    CudaDevice(const CudaDevice&) = delete;
    CudaDevice& operator=(const CudaDevice&) = delete;

    [[nodiscard]] DLDevice dl() const override { return {kDLCUDA, ordinal_}; }
    [[nodiscard]] std::string sku_name() const override { return gpu_.name; }
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const override;
    [[nodiscard]] std::string_view backend() const override { return "GPU"; }
    [[nodiscard]] std::string_view timing_method() const override { return "cuda-events"; }
    [[nodiscard]] int threads() const override { return 0; }
    [[nodiscard]] void* stream() const override { return stream_.get(); }
    [[nodiscard]] std::int64_t available_bytes() const override;
    [[nodiscard]] std::int64_t own_bytes(CacheRule rule) const override { return timer_.bytes_to_allocate(rule); }
    [[nodiscard]] std::shared_ptr<void> allocate(std::int64_t bytes) override;
    void set(void* target, std::uint8_t value, std::int64_t bytes) override;
    void copy_to_host(void* target, const void* source, std::int64_t bytes) override;
    void copy_from_host(void* target, const void* source, std::int64_t bytes) override;
    void fill(const Problem& problem, std::uint64_t seed, Operands& operands) override;
    [[nodiscard]] std::unique_ptr<OperandRows> rows(const Problem& problem, const Operands& operands,
                                                    std::uint64_t seed) override;
    double time(CacheRule rule, const std::function<void()>& call) override;
    void empty_call() override;
    [[nodiscard]] std::function<double()> replay(CacheRule rule, const std::function<void()>& call) override;
    [[nodiscard]] Meters take_meters() override { return meters_.take(); }
    [[nodiscard]] double read_floor_us(std::int64_t bytes, CacheRule rule) override;
    [[nodiscard]] std::optional<double> compute_floor_us(std::int64_t m, std::int64_t n, std::int64_t k,
                                                         ComputeClass type, CacheRule rule) override;
    [[nodiscard]] std::function<double()> dense_sample(std::int64_t m, std::int64_t n, std::int64_t k,
                                                       ComputeClass type, CacheRule rule) override;

private:
    CudaDevice(int ordinal, const Gpu& gpu);

    int ordinal_;
    Gpu gpu_;
    Stream stream_;
    MeterReader meters_;
    CallTimer timer_;
    ReadFloor read_floor_;
    DenseProduct dense_product_;
};

}  // namespace moegemm::bench::cuda
