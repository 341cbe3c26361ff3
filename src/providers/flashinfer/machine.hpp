/// \file
/// Where the provider's tensors live, and who runs the steps around FlashInfer's calls there. One is CUDA's; tests have
/// one of the host's, which drives the same provider on any machine.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include <moegemm/tensor.hpp>

#include "providers/flashinfer/maps.hpp"

namespace moegemm::flashinfer {

struct Gpu {
    std::string name;
    int capability;  ///< 90 is 9.0
};

/// What was found when the machine was first asked.
struct Gpus {
    std::vector<Gpu> gpus;  ///< by ordinal
    std::string reason;     ///< why there are none
};

using Step = std::variant<PadStarts, PadRows, GatherRows, ClearRows, PadGroupScales, PadBlockScales,
                          SwizzleWeightScales, SegmentArguments>;

class Machine {
public:
    Machine() = default;
    virtual ~Machine() = default;
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    [[nodiscard]] virtual DLDeviceType device_type() const noexcept = 0;
    [[nodiscard]] virtual const Gpus& gpus() const noexcept = 0;

    /// \throws Error invalid_argument naming a tensor that the device cannot reach
    virtual void check_reachable(const GemmSpec& spec, const Operands& operands, DLDevice device) const = 0;
    /// Runs a step for each of its indices, in the order of the stream.
    virtual void run(const Step& step, DLDevice device, void* stream) const = 0;
};

}  // namespace moegemm::flashinfer
