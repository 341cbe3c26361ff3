/// \file
/// A call of FlashInfer's made ready: which entry point of which module, and the steps around it.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

#include "providers/flashinfer/entry.hpp"
#include "providers/flashinfer/machine.hpp"
#include "providers/flashinfer/module.hpp"
#include "providers/flashinfer/workspace.hpp"

namespace moegemm::flashinfer {

class FlashInferPlan final : public Plan {
public:
    FlashInferPlan(const GemmSpec& spec, DLDevice device, const Entry& entry, std::shared_ptr<const Module> module,
                   std::shared_ptr<const Machine> machine);

    [[nodiscard]] std::size_t workspace_bytes() const override { return workspace_.bytes; }
    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    void do_run(const Operands& operands, void* stream) override;
    void run_segments(const Operands& operands, void* stream) const;
    void run_padded(const Operands& operands, void* stream) const;

    const Entry& entry_;
    std::shared_ptr<const Module> module_;
    std::shared_ptr<const Machine> machine_;
    Workspace workspace_;
};

}  // namespace moegemm::flashinfer
