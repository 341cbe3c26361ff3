#include "providers/cpu/plan.hpp"

#include <fmt/format.h>

#include "providers/cpu/grouped_gemm.hpp"
#include "providers/cpu/huge_pages.hpp"
#include "providers/cpu/thread_pool.hpp"

namespace moegemm::cpu {

CpuPlan::CpuPlan(const GemmSpec& spec, DLDevice device, const KernelFamily& kernels, int threads)
    : Plan(spec, device),
      shape_(Shape::from(spec, kernels)),
      packed_(PackedLayout::from(shape_)),
      workspace_(WorkspaceLayout::from(shape_, threads)),
      threads_(threads) {
    ThreadPool::shared().reserve(threads);
}

std::size_t CpuPlan::workspace_bytes() const { return static_cast<std::size_t>(workspace_.total_bytes()); }

std::size_t CpuPlan::packed_bytes() const { return static_cast<std::size_t>(packed_.total_bytes); }

std::vector<std::string> CpuPlan::kernels() const {
    if (shape_.matrix != nullptr) {
        return {
            fmt::format("cpu/{}/{}_{}", shape_.family->name, shape_.int8_dot ? "int8" : "bf16", shape_.matrix->unit)};
    }
    return {fmt::format("cpu/{}/{}", shape_.family->name, shape_.int8_dot ? "int8_dot" : "f32_tile")};
}

void CpuPlan::do_pack(const Operands& operands, const Tensor& packed, void* /*stream*/) {
    prefer_huge_pages(packed.data(), packed_bytes());
    pack_weights(shape_, packed_, operands.w, operands.w_scale, packed.as<std::uint8_t>(), threads_);
}

void CpuPlan::do_run(const Operands& operands, void* /*stream*/) {
    run_grouped_gemm(shape_, packed_, workspace_, CallOperands::from(operands), operands.workspace.as<unsigned char>(),
                     threads_);
}

}  // namespace moegemm::cpu
