/// \file
/// Where a case runs: memory, operands, the cold-cache rule, the clock and the floors of one device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <moegemm/reference.hpp>
#include <moegemm/tensor.hpp>

#include "bench/record.hpp"

namespace moegemm::bench {

/// What a dense product is measured with for the compute floor: the widest that the variant's elements fit into. A
/// device that has nothing for a class takes the next one that serves.
enum class ComputeClass : std::uint8_t { bf16, int8, fp8 };

/// Means over timed calls of what a device tells of itself; absent where it does not.
struct Meters {
    std::optional<double> clock_mhz;
    std::optional<double> power_w;
};

/// A device of the benchmark. One case at a time uses it.
class Device {
public:
    virtual ~Device() = default;

    [[nodiscard]] virtual DLDevice dl() const = 0;
    [[nodiscard]] virtual std::string sku_name() const = 0;  ///< "NVIDIA H200", the CPU's model name
    /// What machine.json says of it, beside the host: key and text. Nothing where the host is the device.
    [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> details() const { return {}; }
    [[nodiscard]] virtual std::string_view backend() const = 0;        ///< xpu-perf's folder: "CPU", "GPU"
    [[nodiscard]] virtual std::string_view timing_method() const = 0;  ///< Measurement::method
    [[nodiscard]] virtual int threads() const = 0;                     ///< PlanOptions::threads; 0 where it has none
    [[nodiscard]] virtual void* stream() const = 0;                    ///< for Plan::run

    /// Bytes that can still be allocated.
    [[nodiscard]] virtual std::int64_t available_bytes() const = 0;
    /// Bytes that the device itself will still allocate to time calls by `rule`.
    [[nodiscard]] virtual std::int64_t own_bytes(CacheRule rule) const = 0;

    /// Uninitialised memory, aligned to 4096 bytes; freed with the pointer.
    /// \throws Error out_of_memory
    [[nodiscard]] virtual std::shared_ptr<void> allocate(std::int64_t bytes) = 0;
    /// Sets every byte.
    virtual void set(void* target, std::uint8_t value, std::int64_t bytes) = 0;
    virtual void copy_to_host(void* target, const void* source, std::int64_t bytes) = 0;
    virtual void copy_from_host(void* target, const void* source, std::int64_t bytes) = 0;

    /// Writes the benchmark's operands (A, W, scales, alpha, m_indptr): a pure function of seed, tensor and index.
    virtual void fill(const Problem& problem, std::uint64_t seed, Operands& operands) = 0;
    /// The operands as numbers, for the reference.
    /// \param problem, operands must outlive the result
    [[nodiscard]] virtual std::unique_ptr<OperandRows> rows(const Problem& problem, const Operands& operands,
                                                            std::uint64_t seed) = 0;

    /// Applies the rule, then times one call by itself; the call has ended when this returns. \return µs
    virtual double time(CacheRule rule, const std::function<void()>& call) = 0;
    /// The least that a call can be, for Measurement::empty_us: nothing, or a kernel that does nothing.
    virtual void empty_call() {}
    /// Captures the call once. \return replays it under the rule and times that, in µs; empty where the device has
    /// nothing of the kind
    [[nodiscard]] virtual std::function<double()> replay(CacheRule /*rule*/, const std::function<void()>& /*call*/) {
        return {};
    }
    /// What was read beside the calls that were timed since this was last called.
    [[nodiscard]] virtual Meters take_meters() { return {}; }

    /// µs of a pure read of `bytes` under `rule`: the fastest of several ways. Measured once a run for the same
    /// arguments.
    [[nodiscard]] virtual double read_floor_us(std::int64_t bytes, CacheRule rule) = 0;
    /// µs of one dense product of M, N, K under `rule`; nothing where it cannot be measured. Measured once a run.
    [[nodiscard]] virtual std::optional<double> compute_floor_us(std::int64_t m, std::int64_t n, std::int64_t k,
                                                                 ComputeClass type, CacheRule rule) = 0;
    /// The product behind compute_floor_us, to be taken in turns with the calls of a case so that both meet the same
    /// clocks. \return times one product under the rule, in µs, and keeps its operands as long as it lives; empty where
    /// the floor is not measured by running a product
    /// \throws Error out_of_memory where the operands do not fit beside what is there
    [[nodiscard]] virtual std::function<double()> dense_sample(std::int64_t /*m*/, std::int64_t /*n*/,
                                                               std::int64_t /*k*/, ComputeClass /*type*/,
                                                               CacheRule /*rule*/) {
        return {};
    }
};

/// A device by its name on the command line.
/// \param name    "cpu", or "cuda:0" for the first GPU: its code is a library of its own (bench/cuda), looked for where
///                plug-ins are
/// \param threads that the cases use; 0: all that the process may run on
/// \throws Error invalid_argument ("device", "threads") with what there is; unsupported ("device") with the reason why
///         there is no such GPU here; plugin for a library of another build
[[nodiscard]] std::unique_ptr<Device> make_device(std::string_view name, int threads);

}  // namespace moegemm::bench
