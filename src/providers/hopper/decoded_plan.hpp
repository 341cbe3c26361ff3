/// \file
/// A call with packed weights of 4 or 8 bits made ready.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <moegemm/provider.hpp>

#include "providers/hopper/kernels/kernel.hpp"
#include "providers/hopper/kernels/packed_weights.hpp"
#include "providers/hopper/packed_parts.hpp"

namespace moegemm::hopper {

/// The format in which weights of a spec are packed; nothing where its kernels take them as they are.
[[nodiscard]] std::optional<WeightFormat> weight_format(const GemmSpec& spec);

/// The kernels that take them: under few_16 those of 64 rows of A, under few_64 of 128, under many_256 of 256.
[[nodiscard]] const KernelSet& decoded_kernels(WeightFormat format);

/// Packs weights on the device, and takes calls with packed weights. Those with the contract's alone go to the general
/// provider's plan.
///
/// A's rows of 4 and 8 bits are decoded to bf16 in a first small pass, into the workspace.
class DecodedPlan final : public Plan {
public:
    /// \param general    takes calls with weights that are not packed
    /// \param processors SMs of the device
    DecodedPlan(const GemmSpec& spec, DLDevice device, WeightFormat format, const Kernel& kernel, int processors,
                std::unique_ptr<Plan> general);

    [[nodiscard]] std::size_t workspace_bytes() const override;
    [[nodiscard]] std::size_t packed_bytes() const override { return static_cast<std::size_t>(parts_.bytes); }
    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    void do_pack(const Operands& operands, const Tensor& packed, void* stream) override;
    void do_run(const Operands& operands, void* stream) override;
    [[nodiscard]] bool widens() const { return spec().a != DType::bf16; }

    WeightFormat format_;
    PackedParts parts_;
    Kernel kernel_;
    std::unique_ptr<Plan> general_;
    std::int64_t widened_bytes_ = 0;
    int processors_;
};

}  // namespace moegemm::hopper
