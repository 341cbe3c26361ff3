#include "providers/cublas/plan.hpp"

#include <cstddef>
#include <utility>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "cuda/reachable.hpp"
#include "providers/cublas/pointers.hpp"
#include "providers/cublas/workspace.hpp"

namespace moegemm::cublas {

CublasPlan::CublasPlan(const GemmSpec& spec, DLDevice device, std::shared_ptr<const Library> library)
    : Plan(spec, device), library_(std::move(library)), groups_(spec) {
    const cuda::UseDevice use(device.device_id);
    check(library_->create(&handle_), "cublasCreate");
}

CublasPlan::~CublasPlan() {
    if (handle_ != nullptr) {
        (void)library_->destroy(handle_);
    }
}

std::size_t CublasPlan::pointer_bytes() const {
    return workspace_aligned(3 * static_cast<std::size_t>(spec().experts) * sizeof(void*));
}

std::size_t CublasPlan::workspace_bytes() const { return pointer_bytes() + library_bytes; }

std::vector<std::string> CublasPlan::kernels() const { return {"cublas/GemmGroupedBatchedEx"}; }

void CublasPlan::do_run(const Operands& operands, void* stream) {
    const GemmSpec& spec = this->spec();
    if (operands.host_m_indptr == nullptr) {
        throw Error(ErrorCode::invalid_argument, "host_m_indptr", "absent",
                    "a copy of m_indptr on the host: cuBLAS's grouped product reads the row counts there");
    }
    const cuda::UseDevice use(device().device_id);
    cuda::check_reachable(operands, spec, device());
    // The addresses lie on the device, so cuBLAS cannot look at them before it chooses how to copy.
    cuda::check_alignment(operands, spec, 16);
    const std::lock_guard lock(mutex_);
    groups_.set(spec, {operands.host_m_indptr, static_cast<std::size_t>(spec.experts) + 1});
    const int count = groups_.count();
    if (count == 0) {
        return;
    }
    auto* workspace = operands.workspace.as<std::byte>();
    auto* pointers = reinterpret_cast<const void**>(workspace);
    write_pointers(Bases::of(spec, operands), groups_.experts.data(), groups_.first_rows.data(), count, pointers,
                   static_cast<cudaStream_t>(stream));
    check(library_->set_stream(handle_, stream), "cublasSetStream");
    // After the stream, which brings the handle's own workspace back.
    check(library_->set_workspace(handle_, workspace + pointer_bytes(), library_bytes), "cublasSetWorkspace");
    check(library_->grouped_gemm(handle_, groups_.transposes_weights.data(), groups_.transposes_tokens.data(),
                                 groups_.n.data(), groups_.rows.data(), groups_.k.data(), groups_.alpha.data(),
                                 pointers, api::type_16bf, groups_.k_stride.data(), pointers + count, api::type_16bf,
                                 groups_.k_stride.data(), groups_.beta.data(),
                                 const_cast<void* const*>(pointers + std::ptrdiff_t{2} * count), api::type_16bf,
                                 groups_.n_stride.data(), count, groups_.sizes.data(), api::compute_32f),
          "cublasGemmGroupedBatchedEx");
}

}  // namespace moegemm::cublas
