/// \file
/// A C++ provider as a table of the C ABI.
#include <array>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/plugin.hpp>

#include "op/tensor_name.hpp"
#include "provider/abi_spec.hpp"
#include "provider/last_error.hpp"

namespace moegemm {
namespace {

/// What stands behind a moegemm_plan of ours.
struct ExportedPlan {
    std::unique_ptr<Plan> plan;
    std::array<std::optional<DType>, role_count> dtypes;  ///< of the tensors that the spec has, by role
    std::string kernels;

    explicit ExportedPlan(std::unique_ptr<Plan> made)
        : plan(std::move(made)), kernels(fmt::format("{}", fmt::join(plan->kernels(), ","))) {
        for (const TensorSpec& tensor : tensor_specs(plan->spec(), plan->spec().max_rows)) {
            dtypes[static_cast<std::size_t>(tensor.role)] = tensor.dtype;
        }
    }
};

// The C structure is opaque and never defined: a plug-in may define its own.
ExportedPlan& unwrap(moegemm_plan* plan) { return *reinterpret_cast<ExportedPlan*>(require(plan, "plan")); }

Operands operands_from_abi(const ExportedPlan& plan, const moegemm_operands* given) {
    const moegemm_operands& fields = require_struct(given, "operands");
    Operands operands;
    const VariantInfo& row = plan.plan->spec().row();
    const auto view = [&](Role role, const DLTensor* tensor) {
        if (tensor == nullptr) {
            return;
        }
        const std::optional<DType> expected = plan.dtypes[static_cast<std::size_t>(role)];
        if (!expected) {
            throw Error(ErrorCode::invalid_argument, std::string(tensor_name(row, role)), "given",
                        fmt::format("null: {} was planned without it", row.name));
        }
        operands[role] = Tensor::from_dl(*tensor, *expected, tensor_name(row, role));
    };
    view(Role::a, fields.a);
    view(Role::w, fields.w);
    view(Role::a_scale, fields.a_scale);
    view(Role::w_scale, fields.w_scale);
    view(Role::alpha, fields.alpha);
    view(Role::m_indptr, fields.m_indptr);
    view(Role::y, fields.y);
    if (fields.packed_w != nullptr) {
        operands.packed_w = Tensor::from_dl(*fields.packed_w, DType::u8, "packed_w");
    }
    if (fields.workspace != nullptr) {
        operands.workspace = Tensor::from_dl(*fields.workspace, DType::u8, "workspace");
    }
    operands.host_m_indptr = fields.host_m_indptr;
    return operands;
}

const Provider& provider_of(void* self) { return *static_cast<const Provider*>(require(self, "self")); }

extern "C" {

static moegemm_status exported_variant(void* self, const char* variant, const char** accumulation,
                                       const char** scale_range) {
    return guarded([&] {
        const Variant id = variant_from_abi(variant, "variant");
        require(accumulation, "accumulation");
        require(scale_range, "scale_range");
        const ProviderInfo& provider = provider_of(self).info();
        const VariantSupport& support = provider.support[static_cast<std::size_t>(id)];
        if (!support.offered) {
            throw Error(ErrorCode::unsupported, "variant", variant, "a variant that " + provider.name + " offers");
        }
        *accumulation = to_string(support.accumulation).data();
        *scale_range = to_string(support.scale_range).data();
    });
}

static moegemm_status exported_supports(void* self, const moegemm_spec* spec) {
    return guarded([&] {
        const GemmSpec checked = from_abi(spec);
        const Support support = provider_of(self).supports(checked);
        if (!support.supported) {
            throw Error(ErrorCode::unsupported, "spec", std::string(checked.row().name), support.reason);
        }
    });
}

static moegemm_status exported_plan(void* self, const moegemm_spec* spec, const moegemm_plan_options* options,
                                    moegemm_plan** plan) {
    return guarded([&] {
        *require(plan, "plan") = nullptr;
        const GemmSpec checked = from_abi(spec);
        auto made = std::make_unique<ExportedPlan>(provider_of(self).plan(checked, from_abi(options)));
        *plan = reinterpret_cast<moegemm_plan*>(made.release());
    });
}

static void exported_destroy_plan(moegemm_plan* plan) { delete reinterpret_cast<ExportedPlan*>(plan); }

static std::size_t exported_workspace_bytes(const moegemm_plan* plan) {
    std::size_t bytes = 0;
    guarded([&] { bytes = reinterpret_cast<const ExportedPlan*>(require(plan, "plan"))->plan->workspace_bytes(); });
    return bytes;
}

static std::size_t exported_packed_bytes(const moegemm_plan* plan) {
    std::size_t bytes = 0;
    guarded([&] { bytes = reinterpret_cast<const ExportedPlan*>(require(plan, "plan"))->plan->packed_bytes(); });
    return bytes;
}

static const char* exported_kernels(const moegemm_plan* plan) {
    return plan == nullptr ? "" : reinterpret_cast<const ExportedPlan*>(plan)->kernels.c_str();
}

static moegemm_status exported_pack(moegemm_plan* plan, const moegemm_operands* operands, const DLTensor* packed,
                                    void* stream) {
    return guarded([&] {
        const ExportedPlan& target = unwrap(plan);
        const Operands given = operands_from_abi(target, operands);
        target.plan->pack(given, Tensor::from_dl(*require(packed, "packed"), DType::u8, "packed"), stream);
    });
}

static moegemm_status exported_run(moegemm_plan* plan, const moegemm_operands* operands, void* stream) {
    return guarded([&] {
        const ExportedPlan& target = unwrap(plan);
        target.plan->run(operands_from_abi(target, operands), stream);
    });
}

static const moegemm_error* exported_last_error() { return last_error(); }

}  // extern "C"

}  // namespace

struct ExportedProvider::State {
    std::shared_ptr<const Provider> provider;
    moegemm_provider table{};
};

ExportedProvider::ExportedProvider(std::shared_ptr<const Provider> provider) : state_(std::make_unique<State>()) {
    const ProviderInfo& about = provider->info();
    state_->table = {
        MOEGEMM_ABI_VERSION,
        sizeof(moegemm_provider),
        const_cast<Provider*>(provider.get()),  // C has one kind of `self`; provider_of gives the const back
        about.name.c_str(),
        about.version.c_str(),
        about.description.c_str(),
        about.device_type,
        about.needs_host_counts ? 1 : 0,
        about.unavailable.empty() ? nullptr : about.unavailable.c_str(),
        exported_variant,
        exported_supports,
        exported_plan,
        exported_destroy_plan,
        exported_workspace_bytes,
        exported_packed_bytes,
        exported_kernels,
        exported_pack,
        exported_run,
        exported_last_error,
    };
    state_->provider = std::move(provider);
}

ExportedProvider::~ExportedProvider() = default;

const moegemm_provider* ExportedProvider::table() const noexcept { return &state_->table; }

Plugin::Plugin(std::string name, const std::vector<std::shared_ptr<const Provider>>& providers)
    : name_(std::move(name)) {
    for (const auto& provider : providers) {
        exported_.push_back(std::make_unique<ExportedProvider>(provider));
        tables_.push_back(exported_.back()->table());
    }
    plugin_ = {MOEGEMM_ABI_VERSION, sizeof(moegemm_plugin), name_.c_str(), tables_.size(), tables_.data()};
}

Plugin::~Plugin() = default;

const moegemm_plugin* Plugin::entry(std::uint32_t host_abi_version) const noexcept {
    return host_abi_version == MOEGEMM_ABI_VERSION ? &plugin_ : nullptr;
}

}  // namespace moegemm
