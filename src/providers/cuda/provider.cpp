#include "providers/cuda/provider.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "providers/cuda/device.hpp"
#include "providers/cuda/kernels.hpp"
#include "providers/cuda/plan.hpp"

namespace moegemm {
namespace {

Support support_of(const cuda::Gpu& gpu) {
    if (gpu.major < cuda::least_major) {
        return Support::no(fmt::format("{} has compute capability {}.{}: {}.0 is the least", gpu.name, gpu.major,
                                       gpu.minor, cuda::least_major));
    }
    return Support::yes();
}

/// Whether this machine has a GPU that can do: a plan names its own, any is enough here.
Support machine_support() {
    const cuda::Gpus& found = cuda::gpus();
    if (found.gpus.empty()) {
        return Support::no(found.reason);
    }
    for (const cuda::Gpu& gpu : found.gpus) {
        if (support_of(gpu).supported) {
            return Support::yes();
        }
    }
    return support_of(found.gpus.front());
}

const cuda::KernelRow& find_kernels(const GemmSpec& spec) {
    const bool has_e5m2 = spec.a == DType::e5m2 || spec.w == DType::e5m2;
    for (const cuda::KernelRow& row : cuda::kernel_table()) {
        if (row.variant == spec.variant && (row.takes_e5m2 || !has_e5m2)) {
            return row;
        }
    }
    throw Error(ErrorCode::internal, "variant", std::string(spec.row().name), "a row of the table of kernels");
}

class CudaProvider final : public Provider {
public:
    CudaProvider() {
        info_.name = std::string("cuda");
        info_.version = std::string("1");
        info_.description = std::string("all variants on NVIDIA GPUs from compute capability 8.0, mma.sync");
        info_.device_type = kDLCUDA;
        info_.support.fill({true, Accumulation::fp32, ScaleRange::full});
        info_.unavailable = machine_support().reason;
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }

    [[nodiscard]] Support supports(const GemmSpec& /*spec*/) const override { return machine_support(); }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        const DLDevice device = options.device;
        if (device.device_type != kDLCUDA) {
            throw Error(ErrorCode::unsupported, "device",
                        fmt::format("device type {}", static_cast<int>(device.device_type)), "a CUDA device");
        }
        const cuda::Gpus& found = cuda::gpus();
        if (found.gpus.empty()) {
            throw Error(ErrorCode::unsupported, "device", "a CUDA device", found.reason);
        }
        if (device.device_id < 0 || static_cast<std::size_t>(device.device_id) >= found.gpus.size()) {
            throw Error(ErrorCode::invalid_argument, "device", fmt::format("CUDA device {}", device.device_id),
                        fmt::format("0 … {}", found.gpus.size() - 1));
        }
        const cuda::Gpu& gpu = found.gpus[static_cast<std::size_t>(device.device_id)];
        if (const Support support = support_of(gpu); !support.supported) {
            throw Error(ErrorCode::unsupported, "device", fmt::format("CUDA device {}", device.device_id),
                        support.reason);
        }
        return std::make_unique<cuda::CudaPlan>(spec, device, gpu, find_kernels(spec), options.kernel);
    }

private:
    ProviderInfo info_;
};

}  // namespace

std::shared_ptr<const Provider> make_cuda_provider() { return std::make_shared<CudaProvider>(); }

}  // namespace moegemm
