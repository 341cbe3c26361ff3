#include "providers/onednn/provider.hpp"

#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "provider/foreign_library.hpp"
#include "providers/onednn/library.hpp"
#include "providers/onednn/plan.hpp"

namespace moegemm {
namespace {

constexpr int most_threads = 4096;

/// Whether the products of a spec have one scale for all of K, as oneDNN's fast code for CPUs takes them.
bool is_offered(const VariantInfo& row) {
    return row.scaling == Scaling::none || row.scaling == Scaling::token_channel;
}

class OnednnProvider final : public Provider {
public:
    OnednnProvider() {
        info_.name = std::string("onednn");
        info_.description = std::string("oneDNN's product on packed weights, one an expert");
        info_.packs_for_plan = true;  // in an order that oneDNN chooses
        for (const VariantInfo& row : variants) {
            info_.support[static_cast<std::size_t>(row.id)].offered = is_offered(row);
        }
        try {
            library_ = onednn::Library::load();
            info_.version = library_->version();
        } catch (const Error& error) {
            info_.unavailable = unavailable_reason(error);
        }
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }

    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        try {
            (void)orders(spec);
            return Support::yes();
        } catch (const Error& error) {
            return Support::no(error.allowed());
        }
    }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        if (options.device.device_type != kDLCPU) {
            throw Error(ErrorCode::unsupported, "device",
                        fmt::format("device type {}", static_cast<int>(options.device.device_type)), "the CPU");
        }
        if (options.threads < 0 || options.threads > most_threads) {
            throw Error(ErrorCode::invalid_argument, "threads", std::to_string(options.threads),
                        fmt::format("0 (all that the process may run on) … {}", most_threads));
        }
        if (!options.kernel.empty()) {
            throw Error(ErrorCode::invalid_argument, "kernel", options.kernel, "none: oneDNN chooses its kernels");
        }
        Orders found = orders(spec);
        return std::make_unique<onednn::OnednnPlan>(spec, options.device, library_, std::move(found.packed),
                                                    std::move(found.plain), library_->threads_for(options.threads));
    }

private:
    struct Orders {
        onednn::WeightOrder packed;
        onednn::WeightOrder plain;
    };

    /// \throws Error unsupported where there is no library, or no order of the weights that its fast code takes
    [[nodiscard]] Orders orders(const GemmSpec& spec) const {
        const auto unsupported = [&](std::string reason) {
            return Error(ErrorCode::unsupported, "spec", std::string(spec.row().name), std::move(reason));
        };
        if (library_ == nullptr) {
            throw unsupported(info_.unavailable);
        }
        if (!is_offered(spec.row())) {
            throw unsupported(
                "oneDNN multiplies blocks with scales of their own on CPUs by its reference code, where it does at "
                "all");
        }
        if (spec.a == DType::i8 && !library_->has_exact_int8()) {
            throw unsupported("oneDNN's sums of int8 products saturate on a CPU without VNNI; the op's are exact");
        }
        Orders found{onednn::packed_order(*library_, spec), onednn::plain_order(*library_, spec)};
        if (found.packed.desc == nullptr && found.plain.desc == nullptr) {
            throw unsupported(found.packed.reason);
        }
        return found;
    }

    ProviderInfo info_;
    std::shared_ptr<const onednn::Library> library_;
};

}  // namespace

std::shared_ptr<const Provider> make_onednn_provider() { return std::make_shared<OnednnProvider>(); }

}  // namespace moegemm
