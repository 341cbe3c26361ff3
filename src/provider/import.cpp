/// \file
/// A table of the C ABI as a C++ provider.
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/plugin.hpp>

#include "provider/abi_spec.hpp"

namespace moegemm {
namespace {

/// A table, and the library that it lies in.
struct Table {
    const moegemm_provider* functions;
    std::shared_ptr<void> library;

    [[noreturn]] void fail(std::string_view function, std::string value, std::string allowed) const {
        throw Error(ErrorCode::plugin, fmt::format("{}.{}", functions->name, function), std::move(value),
                    std::move(allowed));
    }

    /// Calls one of the table's functions; an exception that escapes from it is the plug-in's fault.
    template <class Body>
    auto call(std::string_view function, Body&& body) const -> decltype(body()) {
        std::string thrown;
        try {
            return body();
        } catch (const std::exception& error) {
            thrown = fmt::format("exception \"{}\"", error.what());
        } catch (...) {
            thrown = "exception of an unknown type";
        }
        fail(function, std::move(thrown), "a status: no exception crosses the C ABI");
    }

    /// The error that a returned status stands for.
    [[nodiscard]] Error error(std::string_view function, moegemm_status status) const {
        const moegemm_error* last = call("last_error", [&] { return functions->last_error(); });
        if (status <= MOEGEMM_OK || status > MOEGEMM_INTERNAL) {
            fail(function, fmt::format("status {}", status), fmt::format("0 … {}", MOEGEMM_INTERNAL));
        }
        if (last == nullptr || last->status != status) {
            fail(function, fmt::format("status {}", status), "the same status in last_error");
        }
        const auto text = [](const char* given) { return std::string(given == nullptr ? "" : given); };
        return Error(static_cast<ErrorCode>(status), text(last->argument), text(last->value), text(last->allowed));
    }

    template <class Body>
    void checked_call(std::string_view function, Body&& body) const {
        if (const moegemm_status status = call(function, std::forward<Body>(body)); status != MOEGEMM_OK) {
            throw error(function, status);
        }
    }
};

std::vector<std::string> split_kernels(std::string_view joined) {
    std::vector<std::string> kernels;
    while (!joined.empty()) {
        const std::size_t comma = joined.find(',');
        kernels.emplace_back(joined.substr(0, comma));
        joined = comma == std::string_view::npos ? std::string_view() : joined.substr(comma + 1);
    }
    return kernels;
}

/// The C form of a call's tensors; points into the operands that it was made of.
class AbiOperands {
public:
    explicit AbiOperands(const Operands& operands) {
        const std::array<std::pair<const Tensor*, const DLTensor**>, 9> fields{{
            {&operands.a, &view_.a},
            {&operands.w, &view_.w},
            {&operands.a_scale, &view_.a_scale},
            {&operands.w_scale, &view_.w_scale},
            {&operands.alpha, &view_.alpha},
            {&operands.m_indptr, &view_.m_indptr},
            {&operands.y, &view_.y},
            {&operands.packed_w, &view_.packed_w},
            {&operands.workspace, &view_.workspace},
        }};
        view_.struct_size = sizeof(moegemm_operands);
        view_.host_m_indptr = operands.host_m_indptr;
        for (std::size_t i = 0; i < fields.size(); ++i) {
            const auto& [tensor, field] = fields[i];
            if (tensor->defined()) {
                tensors_[i] = tensor->to_dl();
                *field = &tensors_[i];
            }
        }
    }
    AbiOperands(const AbiOperands&) = delete;
    AbiOperands& operator=(const AbiOperands&) = delete;

    [[nodiscard]] const moegemm_operands* view() const noexcept { return &view_; }

private:
    std::array<DLTensor, 9> tensors_{};
    moegemm_operands view_{};
};

class ImportedPlan final : public Plan {
public:
    ImportedPlan(const GemmSpec& spec, const PlanOptions& options, Table table)
        : Plan(spec, options.device), table_(std::move(table)) {
        const moegemm_spec abi_spec = to_abi(spec);
        const moegemm_plan_options abi_options = to_abi(options);
        table_.checked_call("plan",
                            [&] { return functions().plan(functions().self, &abi_spec, &abi_options, &plan_); });
        if (plan_ == nullptr) {
            table_.fail("plan", "a null plan", "a plan where the status is MOEGEMM_OK");
        }
        try {
            workspace_ = table_.call("workspace_bytes", [&] { return functions().workspace_bytes(plan_); });
            packed_ = table_.call("packed_bytes", [&] { return functions().packed_bytes(plan_); });
            const char* joined = table_.call("kernels", [&] { return functions().kernels(plan_); });
            kernels_ = split_kernels(joined == nullptr ? "" : joined);
        } catch (...) {
            destroy();
            throw;
        }
    }
    ~ImportedPlan() override { destroy(); }
    ImportedPlan(const ImportedPlan&) = delete;
    ImportedPlan& operator=(const ImportedPlan&) = delete;

    [[nodiscard]] std::size_t workspace_bytes() const override { return workspace_; }
    [[nodiscard]] std::size_t packed_bytes() const override { return packed_; }
    [[nodiscard]] std::vector<std::string> kernels() const override { return kernels_; }

private:
    [[nodiscard]] const moegemm_provider& functions() const noexcept { return *table_.functions; }

    void destroy() noexcept {
        try {
            functions().destroy_plan(plan_);
        } catch (...) {  // a destructor has nobody to tell
        }
    }

    void do_pack(const Operands& operands, const Tensor& packed, void* stream) override {
        const AbiOperands abi(operands);
        const DLTensor abi_packed = packed.to_dl();
        table_.checked_call("pack", [&] { return functions().pack(plan_, abi.view(), &abi_packed, stream); });
    }

    void do_run(const Operands& operands, void* stream) override {
        const AbiOperands abi(operands);
        table_.checked_call("run", [&] { return functions().run(plan_, abi.view(), stream); });
    }

    Table table_;
    moegemm_plan* plan_ = nullptr;
    std::size_t workspace_ = 0;
    std::size_t packed_ = 0;
    std::vector<std::string> kernels_;
};

class ImportedProvider final : public Provider {
public:
    explicit ImportedProvider(Table table) : table_(std::move(table)) {
        const moegemm_provider& functions = *table_.functions;
        info_.name = functions.name;
        info_.version = functions.version;
        info_.description = functions.description;
        info_.device_type = static_cast<DLDeviceType>(functions.device_type);
        info_.needs_host_counts = functions.needs_host_counts != 0;
        info_.unavailable = functions.unavailable == nullptr ? "" : functions.unavailable;
        for (const VariantInfo& row : variants) {
            info_.support[static_cast<std::size_t>(row.id)] = ask(row);
        }
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }

    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        const moegemm_spec abi_spec = to_abi(spec);
        try {
            table_.checked_call("supports",
                                [&] { return table_.functions->supports(table_.functions->self, &abi_spec); });
            return Support::yes();
        } catch (const Error& error) {
            return Support::no(error.code() == ErrorCode::unsupported ? error.allowed() : error.what());
        }
    }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        return std::make_unique<ImportedPlan>(spec, options, table_);
    }

private:
    [[nodiscard]] VariantSupport ask(const VariantInfo& row) const {
        const char* accumulation = nullptr;
        const char* scale_range = nullptr;
        const moegemm_status status = table_.call("variant", [&] {
            return table_.functions->variant(table_.functions->self, row.name.data(), &accumulation, &scale_range);
        });
        if (status == MOEGEMM_UNSUPPORTED) {
            return {};
        }
        if (status != MOEGEMM_OK) {
            throw table_.error("variant", status);
        }
        VariantSupport support{true, Accumulation::fp32, ScaleRange::full};
        read("accumulation", accumulation,
             std::array{Accumulation::fp32, Accumulation::promoted_128, Accumulation::fast}, support.accumulation);
        read("scale_range", scale_range, std::array{ScaleRange::full, ScaleRange::bf16}, support.scale_range);
        return support;
    }

    template <class T, std::size_t count>
    void read(std::string_view what, const char* text, const std::array<T, count>& choices, T& value) const {
        std::vector<std::string_view> names;
        for (const T choice : choices) {
            if (text != nullptr && text == to_string(choice)) {
                value = choice;
                return;
            }
            names.push_back(to_string(choice));
        }
        table_.fail("variant", fmt::format("{} {}", what, text == nullptr ? "null" : text),
                    fmt::format("{}", fmt::join(names, " or ")));
    }

    Table table_;
    ProviderInfo info_;
};

/// \throws Error plugin for a table that cannot be called
void check_table(const moegemm_provider* table) {
    const auto fail = [](std::string field, std::string value, std::string allowed) {
        throw Error(ErrorCode::plugin, std::move(field), std::move(value), std::move(allowed));
    };
    if (table == nullptr) {
        fail("provider", "null", "a table of functions");
    }
    if (table->abi_version != MOEGEMM_ABI_VERSION) {
        fail("provider.abi_version", std::to_string(table->abi_version), std::to_string(MOEGEMM_ABI_VERSION));
    }
    if (table->struct_size < sizeof(moegemm_provider)) {
        fail("provider.struct_size", std::to_string(table->struct_size),
             fmt::format("at least {}", sizeof(moegemm_provider)));
    }
    const std::array<std::pair<std::string_view, bool>, 13> given{{
        {"name", table->name != nullptr && *table->name != '\0'},
        {"version", table->version != nullptr},
        {"description", table->description != nullptr},
        {"variant", table->variant != nullptr},
        {"supports", table->supports != nullptr},
        {"plan", table->plan != nullptr},
        {"destroy_plan", table->destroy_plan != nullptr},
        {"workspace_bytes", table->workspace_bytes != nullptr},
        {"packed_bytes", table->packed_bytes != nullptr},
        {"kernels", table->kernels != nullptr},
        {"pack", table->pack != nullptr},
        {"run", table->run != nullptr},
        {"last_error", table->last_error != nullptr},
    }};
    for (const auto& [field, there] : given) {
        if (!there) {
            fail(fmt::format("provider.{}", field), "null", "set: every field of the table is needed");
        }
    }
}

}  // namespace

std::shared_ptr<const Provider> import_provider(const moegemm_provider* table, std::shared_ptr<void> library) {
    check_table(table);
    return std::make_shared<ImportedProvider>(Table{table, std::move(library)});
}

}  // namespace moegemm
