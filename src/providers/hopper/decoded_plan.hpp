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

/// The kernels that take them, as choose_decoded_tiling names them.
[[nodiscard]] const KernelSet& decoded_kernels(WeightFormat format);

/// Packs weights on the device, and takes calls with packed weights. Those with the contract's alone go to the general
/// provider's plan.
///
/// A's rows of 4 and 8 bits are decoded to bf16 into the workspace: in a first small pass or, where rows are many, but
/// for the first of them beside the products. Where rows are many, and both sides have 4 bits or the caller allows
/// rounding, they are made e4m3 in the pass instead if the data allow it, and the products with them: what each launch
/// has to do is decided on the device.
class DecodedPlan final : public Plan {
public:
    /// \param rebased    the kernel for operands that became fp8; null where there is none
    /// \param general    takes calls with weights that are not packed
    /// \param processors SMs of the device
    DecodedPlan(const GemmSpec& spec, DLDevice device, WeightFormat format, const Kernel& kernel, const Kernel* rebased,
                int processors, std::unique_ptr<Plan> general);

    [[nodiscard]] std::size_t workspace_bytes() const override;
    [[nodiscard]] std::size_t packed_bytes() const override { return static_cast<std::size_t>(parts_.bytes); }
    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    /// Where the parts of the workspace lie.
    struct Workspace {
        std::int64_t widened = 0;      ///< rows of A in bf16
        std::int64_t values = 0;       ///< in e4m3, where operands are rebased
        std::int64_t factors = 0;      ///< of rebased rows
        std::int64_t rows_differ = 0;  ///< a word
        std::int64_t progress = 0;     ///< RowProgress, where they are not
        std::int64_t counter = 0;      ///< ItemCounter
        std::int64_t bytes = 0;
    };
    void do_pack(const Operands& operands, const Tensor& packed, void* stream) override;
    void do_run(const Operands& operands, void* stream) override;
    [[nodiscard]] bool widens() const { return spec().a != DType::bf16; }
    [[nodiscard]] bool rebases() const { return rebased_.function != nullptr; }
    [[nodiscard]] Workspace workspace() const;

    WeightFormat format_;
    PackedParts parts_;
    Kernel kernel_;
    Kernel rebased_;
    std::unique_ptr<Plan> general_;
    Workspace workspace_;
    int processors_;
};

/// The kernel for operands of `spec` that became fp8, beside the one for bf16; null where there is none.
/// \param inexact whether they may be rounded
[[nodiscard]] const Kernel* rebased_kernel(const GemmSpec& spec, const Kernel& kernel, bool inexact);

}  // namespace moegemm::hopper
