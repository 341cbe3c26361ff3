#include "providers/flashinfer/provider.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "providers/flashinfer/entry.hpp"
#include "providers/flashinfer/plan.hpp"

namespace moegemm {
namespace {

using flashinfer::Entry;
using flashinfer::Gpu;

class FlashInferProvider final : public Provider {
public:
    FlashInferProvider(std::shared_ptr<const flashinfer::Machine> machine,
                       std::shared_ptr<const flashinfer::ModuleLibrary> modules)
        : machine_(std::move(machine)), modules_(std::move(modules)) {
        info_.name = "flashinfer";
        info_.description = "FlashInfer's grouped GEMMs from its compiled modules";
        info_.device_type = machine_->device_type();
        info_.unavailable = machine_->gpus().gpus.empty() ? machine_->gpus().reason : std::string();
        std::string version;
        std::string missing;
        for (const Entry& entry : flashinfer::entries) {
            VariantSupport& support = info_.support[static_cast<std::size_t>(entry.variant)];
            support = {true, support.offered ? support.accumulation : entry.accumulation, ScaleRange::full};
            for (const Gpu& gpu : machine_->gpus().gpus) {
                if (flashinfer::find_entry(entry.variant, gpu.capability) != &entry) {
                    continue;
                }
                support.accumulation = entry.accumulation;
                const auto found = modules_->find(entry.module, gpu.capability);
                if (found.module != nullptr) {
                    version = flashinfer::version_at(found.module->path());
                    has_module_ = true;
                } else if (missing.empty()) {
                    missing = found.reason;
                }
            }
        }
        info_.version =
            fmt::format("{} (TVM-FFI {})", version.empty() ? "unknown" : version, flashinfer::tvm_ffi_version());
        if (info_.unavailable.empty() && !has_module_) {
            info_.unavailable =
                missing.empty() ? flashinfer::no_entry(Variant::bf16, machine_->gpus().gpus.front().capability).reason
                                : missing;
        }
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }

    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        const auto& found = machine_->gpus();
        if (found.gpus.empty()) {
            return Support::no(found.reason);
        }
        Support first;
        for (const Gpu& gpu : found.gpus) {  // a plan names its own; any is enough here
            Support support = choose(spec, gpu).support;
            if (support.supported) {
                return support;
            }
            if (first.supported) {
                first = std::move(support);
            }
        }
        return first;
    }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        const DLDevice device = options.device;
        if (device.device_type != machine_->device_type()) {
            throw Error(ErrorCode::unsupported, "device",
                        fmt::format("device type {}", static_cast<int>(device.device_type)), "a CUDA device");
        }
        const auto& found = machine_->gpus();
        if (found.gpus.empty()) {
            throw Error(ErrorCode::unsupported, "device", "a CUDA device", found.reason);
        }
        if (device.device_id < 0 || static_cast<std::size_t>(device.device_id) >= found.gpus.size()) {
            throw Error(ErrorCode::invalid_argument, "device", fmt::format("CUDA device {}", device.device_id),
                        fmt::format("0 … {}", found.gpus.size() - 1));
        }
        Choice choice = choose(spec, found.gpus[static_cast<std::size_t>(device.device_id)]);
        if (!choice.support.supported) {
            throw Error(ErrorCode::unsupported, "variant", std::string(spec.row().name), choice.support.reason);
        }
        if (!options.kernel.empty() && options.kernel != choice.entry->function) {
            throw Error(ErrorCode::invalid_argument, "kernel", options.kernel, std::string(choice.entry->function));
        }
        return std::make_unique<flashinfer::FlashInferPlan>(spec, device, *choice.entry, std::move(choice.module),
                                                            machine_);
    }

private:
    struct Choice {
        Support support;
        const Entry* entry = nullptr;
        std::shared_ptr<const flashinfer::Module> module;
    };
    [[nodiscard]] Choice choose(const GemmSpec& spec, const Gpu& gpu) const {
        const Entry* entry = flashinfer::find_entry(spec.variant, gpu.capability);
        if (entry == nullptr) {
            return {flashinfer::no_entry(spec.variant, gpu.capability), nullptr, nullptr};
        }
        if (Support support = flashinfer::takes(*entry, spec); !support.supported) {
            return {std::move(support), nullptr, nullptr};
        }
        auto found = modules_->find(entry->module, gpu.capability);
        if (found.module == nullptr) {
            return {Support::no(std::move(found.reason)), nullptr, nullptr};
        }
        return {Support::yes(), entry, std::move(found.module)};
    }

    std::shared_ptr<const flashinfer::Machine> machine_;
    std::shared_ptr<const flashinfer::ModuleLibrary> modules_;
    ProviderInfo info_;
    bool has_module_ = false;
};

}  // namespace

std::shared_ptr<const Provider> make_flashinfer_provider(std::shared_ptr<const flashinfer::Machine> machine,
                                                         std::shared_ptr<const flashinfer::ModuleLibrary> modules) {
    return std::make_shared<FlashInferProvider>(std::move(machine), std::move(modules));
}

}  // namespace moegemm
