#include "providers/cublas/provider.hpp"

#include <utility>

#include <moegemm/error.hpp>

#include "cuda/compute_capability.hpp"
#include "provider/foreign_library.hpp"
#include "providers/cublas/library.hpp"
#include "providers/cublas/lt_plan.hpp"
#include "providers/cublas/plan.hpp"
#include "providers/cublas/support.hpp"

namespace moegemm {
namespace {

constexpr int least_capability = 80;  // the first with bf16

class CublasProvider final : public Provider {
public:
    CublasProvider() {
        info_.name = std::string("cublas");
        info_.description = std::string("cuBLAS's grouped product, one group an expert");
        info_.device_type = kDLCUDA;
        info_.support[static_cast<std::size_t>(Variant::bf16)] = {true, Accumulation::fp32, ScaleRange::full};
        info_.unavailable = cuda::any_gpu_from(least_capability).reason;
        if (!info_.unavailable.empty()) {
            return;  // nobody waits for a library that has nothing to run on
        }
        try {
            library_ = cublas::Library::load();
            info_.version = library_->version;
            lt_ = library_->lt.has_value() && cuda::every_gpu_from(least_capability, cublas::lt_runs_on);
            info_.needs_host_counts = !lt_;
        } catch (const Error& error) {
            info_.unavailable = unavailable_reason(error);
        }
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }

    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        if (!info_.unavailable.empty()) {
            return Support::no(info_.unavailable);
        }
        return lt_ ? cublas::lt_support_of(spec) : cublas::support_of(spec);
    }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        if (Support support = supports(spec); !support.supported) {
            throw Error(ErrorCode::unsupported, "spec", std::string(spec.row().name), std::move(support.reason));
        }
        cuda::check_device(options.device, least_capability);
        if (!options.kernel.empty()) {
            throw Error(ErrorCode::invalid_argument, "kernel", options.kernel, "none: cuBLAS chooses its kernels");
        }
        if (lt_) {
            return std::make_unique<cublas::LtPlan>(spec, options.device, library_);
        }
        return std::make_unique<cublas::CublasPlan>(spec, options.device, library_);
    }

private:
    ProviderInfo info_;
    std::shared_ptr<const cublas::Library> library_;
    bool lt_ = false;  ///< whether by cuBLASLt
};

}  // namespace

std::shared_ptr<const Provider> make_cublas_provider() { return std::make_shared<CublasProvider>(); }

}  // namespace moegemm
