/// \file
/// A call of the `hopper` provider made ready.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <moegemm/provider.hpp>

#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

/// The kernel that takes calls of `spec`; nothing where none does, with the reason.
/// \param tiling asked for by name, or nothing: choice.hpp's
struct Chosen {
    const Kernel* kernel = nullptr;
    std::string reason;  ///< why there is no kernel
};
[[nodiscard]] Chosen choose_kernel(const GemmSpec& spec, std::optional<Tiling> tiling, int processors);

class HopperPlan final : public Plan {
public:
    /// \param general takes calls whose tensors are not aligned for the copy engine
    /// \param processors SMs of the device
    HopperPlan(const GemmSpec& spec, DLDevice device, const Kernel& kernel, int processors,
               std::unique_ptr<Plan> general);

    [[nodiscard]] std::size_t workspace_bytes() const override;
    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    void do_run(const Operands& operands, void* stream) override;

    Kernel kernel_;
    std::unique_ptr<Plan> general_;
    int processors_;
};

}  // namespace moegemm::hopper
