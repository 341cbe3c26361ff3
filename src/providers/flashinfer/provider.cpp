#include "providers/flashinfer/provider.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include "providers/flashinfer/entry.hpp"
#include "providers/flashinfer/plan.hpp"

namespace moegemm {
namespace {

using flashinfer::CudnnEntry;
using flashinfer::Entry;
using flashinfer::Gpu;

/// Why FlashInfer does not call this cuDNN; empty where it does.
std::string why_not_this_cudnn(const Provider* cudnn) {
    if (cudnn == nullptr) {
        return "this was built without cuDNN's headers";
    }
    const ProviderInfo& about = cudnn->info();
    if (!about.unavailable.empty()) {
        return about.unavailable;
    }
    return flashinfer::passes_cudnn_gate(about.version) ? "" : fmt::format("this is {}", about.version);
}

class FlashInferProvider final : public Provider {
public:
    FlashInferProvider(std::shared_ptr<const flashinfer::Machine> machine,
                       std::shared_ptr<const flashinfer::ModuleLibrary> modules, std::shared_ptr<const Provider> cudnn)
        : machine_(std::move(machine)),
          modules_(std::move(modules)),
          cudnn_(std::move(cudnn)),
          why_no_cudnn_(why_not_this_cudnn(cudnn_.get())) {
        info_.name = "flashinfer";
        info_.description = "FlashInfer's grouped GEMMs from its compiled modules";
        info_.device_type = machine_->device_type();
        info_.unavailable = machine_->gpus().gpus.empty() ? machine_->gpus().reason : std::string();
        std::string version;
        std::string missing;
        bool has_module = false;
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
                    has_module = true;
                } else if (missing.empty()) {
                    missing = found.reason;
                }
            }
        }
        const bool calls_cudnn = add_cudnn();
        if (calls_cudnn) {
            info_.description += "; bf16 and fp8 by cuDNN's MoE grouped matmul";
        }
        info_.version =
            fmt::format("{} (TVM-FFI {}{})", version.empty() ? "unknown" : version, flashinfer::tvm_ffi_version(),
                        calls_cudnn ? fmt::format(", cuDNN {}", cudnn_->info().version) : "");
        if (info_.unavailable.empty() && !has_module && !calls_cudnn) {
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
            Support support = choose(spec, gpu, {}).support;
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
        const Gpu& gpu = found.gpus[static_cast<std::size_t>(device.device_id)];
        check_kernel(options.kernel, spec.variant, gpu);
        Choice choice = choose(spec, gpu, options.kernel);
        if (!choice.support.supported) {
            throw Error(ErrorCode::unsupported, "variant", std::string(spec.row().name), choice.support.reason);
        }
        if (choice.entry == nullptr) {
            PlanOptions for_cudnn = options;
            for_cudnn.kernel.clear();  // named FlashInfer's function
            return cudnn_->plan(spec, for_cudnn);
        }
        return std::make_unique<flashinfer::FlashInferPlan>(spec, device, *choice.entry, std::move(choice.module),
                                                            machine_);
    }

private:
    /// Adds what cuDNN runs to info().
    /// \return whether it runs anything on this machine
    bool add_cudnn() {
        if (!why_no_cudnn_.empty()) {
            return false;
        }
        bool any = false;
        for (const Gpu& gpu : machine_->gpus().gpus) {
            for (const CudnnEntry& entry : flashinfer::cudnn_entries) {
                if (flashinfer::find_cudnn_entry(entry.variant, gpu.capability) != &entry) {
                    continue;
                }
                any = true;
                // A spec that cuDNN refuses runs in a module: what is said is the looser of both.
                const auto variant = static_cast<std::size_t>(entry.variant);
                Accumulation& accumulation = info_.support[variant].accumulation;
                accumulation = std::max(accumulation, cudnn_->info().support[variant].accumulation);
            }
        }
        return any;
    }

    /// \throws Error invalid_argument for a name that is none of FlashInfer's functions for the variant
    static void check_kernel(const std::string& kernel, Variant variant, const Gpu& gpu) {
        std::vector<std::string_view> functions;
        if (const CudnnEntry* by_cudnn = flashinfer::find_cudnn_entry(variant, gpu.capability)) {
            functions.push_back(by_cudnn->function);
        }
        if (const Entry* compiled = flashinfer::find_entry(variant, gpu.capability)) {
            functions.push_back(compiled->function);
        }
        if (!kernel.empty() && !functions.empty() && std::ranges::find(functions, kernel) == functions.end()) {
            throw Error(ErrorCode::invalid_argument, "kernel", kernel, fmt::format("{}", fmt::join(functions, " or ")));
        }
    }

    /// Who runs a spec on a GPU.
    struct Choice {
        Support support;
        const Entry* entry = nullptr;  ///< of a module; null where cuDNN does
        std::shared_ptr<const flashinfer::Module> module;
    };
    /// cuDNN, where FlashInfer would call it and it takes the spec, else a module.
    /// \param kernel the one function to take; empty: any
    [[nodiscard]] Choice choose(const GemmSpec& spec, const Gpu& gpu, std::string_view kernel) const {
        const auto is_asked_for = [&](std::string_view function) { return kernel.empty() || kernel == function; };
        std::vector<std::string> reasons;
        const CudnnEntry* by_cudnn = flashinfer::find_cudnn_entry(spec.variant, gpu.capability);
        if (by_cudnn != nullptr && is_asked_for(by_cudnn->function)) {
            const Support support = call_of_cudnn(*by_cudnn, spec);
            if (support.supported) {
                return {support, nullptr, nullptr};
            }
            reasons.push_back(support.reason);
        }
        const Entry* compiled = flashinfer::find_entry(spec.variant, gpu.capability);
        if (compiled == nullptr) {
            reasons.push_back(flashinfer::no_entry(spec.variant, gpu.capability).reason);
        } else if (is_asked_for(compiled->function)) {
            Choice choice = call_of_module(*compiled, spec, gpu);
            if (choice.support.supported) {
                return choice;
            }
            reasons.push_back(std::move(choice.support.reason));
        }
        return {Support::no(fmt::format("{}", fmt::join(reasons, "; "))), nullptr, nullptr};
    }

    [[nodiscard]] Support call_of_cudnn(const CudnnEntry& entry, const GemmSpec& spec) const {
        if (!why_no_cudnn_.empty()) {
            return Support::no(fmt::format("FlashInfer's {} takes cuDNN {} or later: {}", entry.function,
                                           fmt::join(flashinfer::least_cudnn, "."), why_no_cudnn_));
        }
        Support support = cudnn_->supports(spec);
        if (!support.supported) {
            support.reason = fmt::format("FlashInfer's {}: {}", entry.function, support.reason);
        }
        return support;
    }

    [[nodiscard]] Choice call_of_module(const Entry& entry, const GemmSpec& spec, const Gpu& gpu) const {
        if (Support support = flashinfer::takes(entry, spec); !support.supported) {
            return {std::move(support), nullptr, nullptr};
        }
        auto found = modules_->find(entry.module, gpu.capability);
        if (found.module == nullptr) {
            return {Support::no(std::move(found.reason)), nullptr, nullptr};
        }
        return {Support::yes(), &entry, std::move(found.module)};
    }

    std::shared_ptr<const flashinfer::Machine> machine_;
    std::shared_ptr<const flashinfer::ModuleLibrary> modules_;
    std::shared_ptr<const Provider> cudnn_;
    std::string why_no_cudnn_;  ///< empty where FlashInfer calls it
    ProviderInfo info_;
};

}  // namespace

std::shared_ptr<const Provider> make_flashinfer_provider(std::shared_ptr<const flashinfer::Machine> machine,
                                                         std::shared_ptr<const flashinfer::ModuleLibrary> modules,
                                                         std::shared_ptr<const Provider> cudnn) {
    return std::make_shared<FlashInferProvider>(std::move(machine), std::move(modules), std::move(cudnn));
}

}  // namespace moegemm
