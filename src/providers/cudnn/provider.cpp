#include "providers/cudnn/provider.hpp"

#include <mutex>
#include <optional>
#include <utility>

#include <moegemm/error.hpp>

#include "cuda/compute_capability.hpp"
#include "providers/cudnn/graph.hpp"
#include "providers/cudnn/library.hpp"
#include "providers/cudnn/plan.hpp"
#include "providers/cudnn/support.hpp"

namespace moegemm {
namespace {

constexpr int least_capability = 80;
constexpr int least_capability_fp8 = 89;  // the first whose tensor cores multiply 8-bit floats

int least_for(const GemmSpec& spec) { return spec.variant == Variant::fp8 ? least_capability_fp8 : least_capability; }

class CudnnProvider final : public Provider {
public:
    CudnnProvider() {
        info_.name = std::string("cudnn");
        info_.description = std::string("cuDNN's MoE grouped matmul");
        info_.device_type = kDLCUDA;
        info_.support[static_cast<std::size_t>(Variant::bf16)] = {true, Accumulation::fp32, ScaleRange::full};
        info_.support[static_cast<std::size_t>(Variant::fp8)] = {true, Accumulation::fast, ScaleRange::full};
        info_.unavailable = cuda::any_gpu_from(least_capability).reason;
        if (!info_.unavailable.empty()) {
            return;  // nobody waits for a library that has nothing to run on
        }
        try {
            library_ = cudnn::Library::load();
            info_.version = library_->version;
        } catch (const Error& error) {
            info_.unavailable = unavailable_reason(error);
        }
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }

    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        if (!info_.unavailable.empty()) {
            return Support::no(info_.unavailable);
        }
        if (Support support = cudnn::support_of(spec); !support.supported) {
            return support;
        }
        if (Support machine = cuda::any_gpu_from(least_for(spec)); !machine.supported) {
            return machine;
        }
        try {
            const std::lock_guard lock(mutex_);
            if (handle_ == nullptr) {
                handle_ = std::make_unique<cudnn::Handle>(*library_);
            }
            const cudnn::Graph graph(*library_, *handle_, spec, spec.max_rows);
            return Support::yes();
        } catch (const Error& error) {
            return Support::no(error.what());
        }
    }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        if (Support support = supports(spec); !support.supported) {
            throw Error(ErrorCode::unsupported, "spec", std::string(spec.row().name), std::move(support.reason));
        }
        cuda::check_device(options.device, least_for(spec));
        if (!options.kernel.empty()) {
            throw Error(ErrorCode::invalid_argument, "kernel", options.kernel, "none: cuDNN chooses its kernels");
        }
        return std::make_unique<cudnn::CudnnPlan>(spec, options.device, *library_);
    }

private:
    ProviderInfo info_;
    std::optional<cudnn::Library> library_;
    mutable std::mutex mutex_;                       // guards the handle, and its use
    mutable std::unique_ptr<cudnn::Handle> handle_;  // of the current GPU when it was first asked, for supports()
};

}  // namespace

std::shared_ptr<const Provider> make_cudnn_provider() { return std::make_shared<CudnnProvider>(); }

}  // namespace moegemm
