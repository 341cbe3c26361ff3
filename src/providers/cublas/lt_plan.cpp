#include "providers/cublas/lt_plan.hpp"

#include <cstddef>
#include <utility>

#include "cuda/error.hpp"
#include "cuda/reachable.hpp"
#include "providers/cublas/fill_groups.hpp"
#include "providers/cublas/workspace.hpp"

namespace moegemm::cublas {

LtPlan::LtPlan(const GemmSpec& spec, DLDevice device, std::shared_ptr<const Library> library) : Plan(spec, device) {
    const cuda::UseDevice use(device.device_id);
    product_ = std::make_unique<LtProduct>(spec, std::move(library));
}

std::size_t LtPlan::workspace_bytes() const {
    return workspace_aligned(DeviceGroups::bytes(spec().experts)) + library_bytes;
}

std::vector<std::string> LtPlan::kernels() const { return {"cublas/LtMatmul"}; }

void LtPlan::do_run(const Operands& operands, void* stream) {
    const GemmSpec& spec = this->spec();
    const cuda::UseDevice use(device().device_id);
    cuda::check_reachable(operands, spec, device());
    cuda::check_alignment(operands, spec, 16);
    if (operands.a.shape()[0] == 0) {
        return;
    }
    auto* workspace = operands.workspace.as<std::byte>();
    const DeviceGroups groups = DeviceGroups::in(workspace, spec.experts);
    fill_groups({Bases::of(spec, operands), operands.m_indptr.as<const std::int32_t>(),
                 static_cast<std::int32_t>(spec.n), static_cast<std::int32_t>(spec.k), groups},
                spec.experts, static_cast<cudaStream_t>(stream));
    product_->run(groups, workspace + workspace_aligned(DeviceGroups::bytes(spec.experts)), library_bytes, stream);
}

}  // namespace moegemm::cublas
