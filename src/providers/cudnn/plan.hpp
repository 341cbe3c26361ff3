/// \file
/// A call of the `cudnn` provider made ready.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include <moegemm/provider.hpp>

#include "providers/cudnn/graph.hpp"

namespace moegemm::cudnn {

/// A graph has a fixed number of rows of A. That for the largest one is made with the plan; one for another number of
/// rows where that first comes, of which the plan keeps a few.
class CudnnPlan final : public Plan {
public:
    static constexpr std::size_t most_graphs = 16;

    CudnnPlan(const GemmSpec& spec, DLDevice device, Library library);

    [[nodiscard]] std::size_t workspace_bytes() const override { return workspace_bytes_; }
    [[nodiscard]] std::vector<std::string> kernels() const override { return {kernel_}; }

private:
    void do_run(const Operands& operands, void* stream) override;
    [[nodiscard]] const Graph& graph_for(std::int64_t rows);
    [[nodiscard]] bool needs_alpha_rows() const noexcept { return spec().has_alpha && !library_.takes_scalar(); }

    Library library_;
    std::mutex mutex_;  // a handle serves one thread at a time; guards the graphs, too
    std::unique_ptr<Handle> handle_;
    std::map<std::int64_t, std::unique_ptr<Graph>> graphs_;  ///< by their rows
    std::size_t workspace_bytes_ = 0;
    std::size_t graph_bytes_ = 0;  ///< of the workspace, which cuDNN has; alpha's rows are behind
    std::string kernel_;
};

}  // namespace moegemm::cudnn
