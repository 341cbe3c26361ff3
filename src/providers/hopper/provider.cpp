#include "providers/hopper/provider.hpp"

#include <cuda_runtime_api.h>

#include <array>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "providers/hopper/decoded_plan.hpp"
#include "providers/hopper/plan.hpp"

namespace moegemm {
namespace {

using hopper::Tiling;

constexpr std::array<std::string_view, hopper::tiling_count> tiling_names{"few_16", "few_64", "some_96", "many_256",
                                                                          "many_128"};

bool is_hopper(int device) {
    int major = 0;
    int minor = 0;
    const bool known = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
                       cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess;
    (void)cudaGetLastError();
    return known && major == 9 && minor == 0;
}

/// Whether this machine has a GPU that the kernels run on.
Support machine_support() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        return Support::no(cuda::why_no_gpu(status));
    }
    for (int device = 0; device < count; ++device) {
        if (is_hopper(device)) {
            return Support::yes();
        }
    }
    return Support::no("no GPU of compute capability 9.0");
}

class HopperProvider final : public Provider {
public:
    explicit HopperProvider(std::shared_ptr<const Provider> general) : general_(std::move(general)) {
        info_ = general_->info();
        info_.name = std::string("hopper");
        info_.version = std::string("2");
        info_.description = std::string("TMA and wgmma kernels for compute capability 9.0; the rest by cuda");
        info_.device_type = kDLCUDA;
        info_.unavailable = machine_support().reason;
        for (const Variant variant : {Variant::bf16, Variant::int8}) {
            info_.support[static_cast<std::size_t>(variant)] = {true, Accumulation::fp32, ScaleRange::full};
        }
        for (const Variant variant : {Variant::fp8, Variant::fp8_token, Variant::fp8_block}) {
            info_.support[static_cast<std::size_t>(variant)] = {true, Accumulation::promoted_128, ScaleRange::full};
        }
        // Decoded to bf16, activations outside its normal range flush, and weights that are as far below their row's
        // largest scale. nvfp4's never leave it. mxfp4_a4 becomes fp8 where nothing is lost by it, whose sums are
        // promoted.
        for (const Variant variant : {Variant::mxfp8, Variant::mxfp4, Variant::mxfp4_a16}) {
            info_.support[static_cast<std::size_t>(variant)] = {true, Accumulation::fp32, ScaleRange::bf16};
        }
        info_.support[static_cast<std::size_t>(Variant::mxfp4_a4)] = {true, Accumulation::promoted_128,
                                                                      ScaleRange::bf16};
        for (const Variant variant : {Variant::nvfp4, Variant::nvfp4_a16}) {
            info_.support[static_cast<std::size_t>(variant)] = {true, Accumulation::fp32, ScaleRange::full};
        }
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }

    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        const Support machine = machine_support();
        // Calls that no kernel here takes, and tensors that the copy engine cannot, need the general provider.
        return machine.supported ? general_->supports(spec) : machine;
    }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        const Support support = supports(spec);
        if (!support.supported) {
            throw Error(ErrorCode::unsupported, "spec", std::string(spec.row().name), support.reason);
        }
        if (options.device.device_type != kDLCUDA || !is_hopper(options.device.device_id)) {
            throw Error(ErrorCode::unsupported, "device",
                        fmt::format("device type {}, number {}", static_cast<int>(options.device.device_type),
                                    options.device.device_id),
                        "a GPU of compute capability 9.0");
        }
        const std::optional<Tiling> tiling = named_tiling(options.kernel);
        PlanOptions general_options = options;
        general_options.kernel.clear();
        std::unique_ptr<Plan> general = general_->plan(spec, general_options);
        int processors = 0;
        cuda::check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, options.device.device_id),
                    "cudaDeviceGetAttribute of the SMs");
        const hopper::Chosen chosen = hopper::choose_kernel(spec, tiling, processors);
        if (chosen.kernel == nullptr) {
            return general;
        }
        if (const auto format = hopper::weight_format(spec)) {
            return std::make_unique<hopper::DecodedPlan>(spec, options.device, *format, *chosen.kernel,
                                                         hopper::rebased_kernel(spec, *chosen.kernel, options.inexact),
                                                         processors, std::move(general));
        }
        return std::make_unique<hopper::HopperPlan>(spec, options.device, *chosen.kernel, processors,
                                                    std::move(general));
    }

private:
    static std::optional<Tiling> named_tiling(std::string_view name) {
        if (name.empty()) {
            return std::nullopt;
        }
        for (std::size_t i = 0; i < tiling_names.size(); ++i) {
            if (tiling_names[i] == name) {
                return static_cast<Tiling>(i);
            }
        }
        throw Error(ErrorCode::invalid_argument, "kernel", std::string(name),
                    fmt::format("{}", fmt::join(tiling_names, ", ")));
    }

    std::shared_ptr<const Provider> general_;
    ProviderInfo info_;
};

}  // namespace

std::shared_ptr<const Provider> make_hopper_provider(std::shared_ptr<const Provider> general) {
    return std::make_shared<HopperProvider>(std::move(general));
}

}  // namespace moegemm
