/// \file
/// A call of the `cpu` provider made ready.
#pragma once

#include <moegemm/provider.hpp>

#include "providers/cpu/packed_weights.hpp"
#include "providers/cpu/shape.hpp"
#include "providers/cpu/workspace.hpp"

namespace moegemm::cpu {

class CpuPlan final : public Plan {
public:
    /// \param threads at least 1
    /// \throws Error overflow where a buffer's bytes leave 63 bits
    CpuPlan(const GemmSpec& spec, DLDevice device, const KernelFamily& kernels, int threads);

    [[nodiscard]] std::size_t workspace_bytes() const override;
    [[nodiscard]] std::size_t packed_bytes() const override;
    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    void do_pack(const Operands& operands, const Tensor& packed, void* stream) override;
    void do_run(const Operands& operands, void* stream) override;

    Shape shape_;
    PackedLayout packed_;
    WorkspaceLayout workspace_;
    int threads_;
};

}  // namespace moegemm::cpu
