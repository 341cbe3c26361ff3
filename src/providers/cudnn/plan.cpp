#include "providers/cudnn/plan.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "cuda/reachable.hpp"
#include "providers/cudnn/alpha_rows.hpp"
#include "providers/cudnn/support.hpp"

namespace moegemm::cudnn {

CudnnPlan::CudnnPlan(const GemmSpec& spec, DLDevice device, Library library)
    : Plan(spec, device), library_(std::move(library)) {
    const cuda::UseDevice use(device.device_id);
    handle_ = std::make_unique<Handle>(library_);
    const Graph& graph = graph_for(spec.max_rows);
    graph_bytes_ = workspace_bytes_ = graph.workspace_bytes();
    if (needs_alpha_rows()) {
        graph_bytes_ = (graph_bytes_ + alignment - 1) / alignment * alignment;
        workspace_bytes_ = graph_bytes_ + static_cast<std::size_t>(spec.max_rows) * sizeof(float);
    }
    kernel_ = fmt::format("cudnn/{}", graph.kernel());
    std::ranges::replace(kernel_, ',', ';');  // which parts names where a plan has several
}

const Graph& CudnnPlan::graph_for(std::int64_t rows) {
    if (const auto found = graphs_.find(rows); found != graphs_.end()) {
        return *found->second;
    }
    auto graph = std::make_unique<Graph>(library_, *handle_, spec(), rows);
    graph->build();
    if (graphs_.size() == most_graphs) {
        const auto first = graphs_.begin();
        graphs_.erase(first->first == spec().max_rows ? std::next(first) : first);
    }
    return *graphs_.emplace(rows, std::move(graph)).first->second;
}

void CudnnPlan::do_run(const Operands& operands, void* stream) {
    const std::int64_t rows = operands.a.shape()[0];
    if (rows == 0) {
        return;
    }
    const cuda::UseDevice use(device().device_id);
    cuda::check_reachable(operands, spec(), device());
    cuda::check_alignment(operands, spec(), alignment);
    const std::lock_guard lock(mutex_);
    const Graph& graph = graph_for(rows);
    if (graph.workspace_bytes() > graph_bytes_) {
        throw Error(ErrorCode::unsupported, "scatter_tokens", fmt::format("{} rows", rows),
                    fmt::format("{} rows: fewer need a larger workspace here ({} bytes)", spec().max_rows,
                                graph.workspace_bytes()));
    }
    void* alpha = spec().has_alpha ? operands.alpha.data() : nullptr;
    if (needs_alpha_rows()) {
        auto* alpha_rows = reinterpret_cast<float*>(operands.workspace.as<std::byte>() + graph_bytes_);
        write_alpha_rows(operands.alpha.as<const float>(), alpha_rows, rows, static_cast<cudaStream_t>(stream));
        alpha = alpha_rows;
    }
    graph.run(*handle_,
              {operands.a.data(), operands.w.data(), operands.m_indptr.data(), alpha, operands.y.data(),
               operands.workspace.data()},
              stream);
}

}  // namespace moegemm::cudnn
