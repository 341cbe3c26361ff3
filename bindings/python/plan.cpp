#include "plan.hpp"

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/packed_file.hpp>

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "providers.hpp"
#include "spec.hpp"
#include "tensor_view.hpp"

namespace nb = nanobind;

namespace moegemm::python {
namespace {

/// Workspaces in host memory for calls that bring none: each call takes one for itself, and gives it back.
class Workspaces {
public:
    /// What Plan::run asks of a workspace's base on a CPU.
    struct alignas(64) Line {
        std::array<std::byte, 64> bytes;
    };
    using Memory = std::unique_ptr<Line[]>;

    explicit Workspaces(std::size_t bytes) : lines_((bytes + sizeof(Line) - 1) / sizeof(Line)) {}

    [[nodiscard]] Memory take() {
        {
            const std::lock_guard lock(mutex_);
            if (!idle_.empty()) {
                Memory memory = std::move(idle_.back());
                idle_.pop_back();
                return memory;
            }
        }
        try {
            return std::make_unique_for_overwrite<Line[]>(lines_);
        } catch (const std::bad_alloc&) {
            throw Error(ErrorCode::out_of_memory, "workspace", fmt::format("{} bytes", lines_ * sizeof(Line)),
                        "what the system still gives");
        }
    }
    void give_back(Memory memory) {
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(memory));
    }

private:
    std::size_t lines_;
    std::mutex mutex_;
    std::vector<Memory> idle_;
};

/// What the tensors of a call are, in Python's hands.
struct CallViews {
    const TensorView* a = nullptr;
    const TensorView* w = nullptr;
    const TensorView* a_scale = nullptr;
    const TensorView* w_scale = nullptr;
    const TensorView* alpha = nullptr;
    const TensorView* m_indptr = nullptr;
    const TensorView* y = nullptr;
    const TensorView* packed_w = nullptr;
    const TensorView* workspace = nullptr;
    const TensorView* host_m_indptr = nullptr;
};

class BoundPlan {
public:
    BoundPlan(std::shared_ptr<const Provider> provider, std::unique_ptr<Plan> plan)
        : provider_(std::move(provider)), plan_(std::move(plan)), workspaces_(plan_->workspace_bytes()) {
        for (const TensorSpec& tensor : tensor_specs(spec(), 0)) {
            typed_[static_cast<std::size_t>(tensor.role)] = {tensor.name, tensor.dtype};
        }
    }

    [[nodiscard]] const std::string& provider() const { return provider_->info().name; }
    [[nodiscard]] const Plan& plan() const noexcept { return *plan_; }
    [[nodiscard]] const GemmSpec& spec() const noexcept { return plan_->spec(); }

    void pack(const TensorView* w, const TensorView* w_scale, const TensorView* packed, std::intptr_t stream) {
        Operands operands;
        operands.w = tensor_of(Role::w, w);
        operands.w_scale = tensor_of(Role::w_scale, w_scale);
        const Tensor target = tensor_or_none(packed, DType::u8, "packed_w");
        const nb::gil_scoped_release release;
        plan_->pack(operands, target, reinterpret_cast<void*>(stream));
    }

    void save_packed(const TensorView& packed, const std::filesystem::path& path) const {
        const std::span<std::uint8_t> bytes = host_bytes(packed);
        const nb::gil_scoped_release release;
        moegemm::save_packed(path, provider_->info(), spec(), bytes);
    }

    void load_packed(const TensorView& packed, const std::filesystem::path& path) const {
        const std::span<std::uint8_t> bytes = host_bytes(packed);
        const nb::gil_scoped_release release;
        moegemm::load_packed(path, provider_->info(), spec(), bytes);
    }

    void run(const CallViews& views, std::intptr_t stream) {
        Operands operands;
        operands.a = tensor_of(Role::a, views.a);
        operands.w = tensor_of(Role::w, views.w);
        operands.a_scale = tensor_of(Role::a_scale, views.a_scale);
        operands.w_scale = tensor_of(Role::w_scale, views.w_scale);
        operands.alpha = tensor_of(Role::alpha, views.alpha);
        operands.m_indptr = tensor_of(Role::m_indptr, views.m_indptr);
        operands.y = tensor_of(Role::y, views.y);
        operands.packed_w = tensor_or_none(views.packed_w, DType::u8, "packed_w");
        operands.workspace = tensor_or_none(views.workspace, DType::u8, "workspace");
        operands.host_m_indptr = host_counts(views.host_m_indptr);
        const nb::gil_scoped_release release;
        const std::size_t bytes = plan_->workspace_bytes();
        if (bytes == 0 || operands.workspace.defined() || plan_->device().device_type != kDLCPU) {
            plan_->run(operands, reinterpret_cast<void*>(stream));
            return;
        }
        Workspaces::Memory memory = workspaces_.take();
        operands.workspace = Tensor(memory.get(), DType::u8, {static_cast<std::int64_t>(bytes)});
        plan_->run(operands, nullptr);
        workspaces_.give_back(std::move(memory));
    }

private:
    /// What the spec says of a tensor of any shape; no name: it has none in this role.
    struct Typed {
        std::string name;
        DType dtype = DType::u8;
    };

    [[nodiscard]] Tensor tensor_of(Role role, const TensorView* view) const {
        if (view == nullptr) {
            return {};
        }
        const Typed& typed = typed_[static_cast<std::size_t>(role)];
        if (typed.name.empty()) {
            throw Error(ErrorCode::invalid_argument, view->name(), "given",
                        fmt::format("None: {} was planned without it", spec().row().name));
        }
        return view->as(typed.dtype, typed.name);
    }

    /// Packed weights in the host's memory.
    [[nodiscard]] std::span<std::uint8_t> host_bytes(const TensorView& view) const {
        const std::size_t bytes = plan_->packed_bytes();
        if (bytes == 0) {
            throw Error(ErrorCode::unsupported, view.name(), fmt::format("of a plan by {}", provider()),
                        "a plan that packs weights");
        }
        const Tensor packed = view.as(DType::u8);
        if (packed.device().device_type != kDLCPU || static_cast<std::size_t>(packed.bytes()) < bytes) {
            throw Error(ErrorCode::invalid_argument, view.name(),
                        fmt::format("{} bytes on device type {}", packed.bytes(),
                                    static_cast<int>(packed.device().device_type)),
                        fmt::format("at least {} bytes in the host's memory", bytes));
        }
        return {packed.as<std::uint8_t>(), bytes};
    }

    [[nodiscard]] const std::int32_t* host_counts(const TensorView* view) const {
        if (view == nullptr) {
            return nullptr;
        }
        const Tensor counts = view->as(DType::i32);
        if (counts.device().device_type != kDLCPU || counts.shape().size() != 1 ||
            counts.elements() != spec().experts + 1) {
            throw Error(ErrorCode::invalid_argument, "host_m_indptr",
                        fmt::format("shape ({})", fmt::join(view->shape(), ", ")),
                        fmt::format("shape ({}) in the host's memory", spec().experts + 1));
        }
        return counts.as<const std::int32_t>();
    }

    std::shared_ptr<const Provider> provider_;
    std::unique_ptr<Plan> plan_;
    std::array<Typed, role_count> typed_;
    Workspaces workspaces_;
};

/// \param without_workspace whether a plan that needs none is looked for; where there is none, the first provider's
std::unique_ptr<BoundPlan> make_plan(const GemmSpec& spec, const PlanOptions& options,
                                     const std::optional<std::string>& provider, bool without_workspace) {
    spec.check();
    const std::vector<std::shared_ptr<const Provider>> providers =
        providers_for(provider, spec, options.device, without_workspace);
    const nb::gil_scoped_release release;
    std::unique_ptr<Plan> plan = providers.front()->plan(spec, options);
    std::size_t chosen = 0;
    if (without_workspace && plan->workspace_bytes() > 0) {
        for (std::size_t i = 1; i < providers.size(); ++i) {
            std::unique_ptr<Plan> other = providers[i]->plan(spec, options);
            if (other->workspace_bytes() == 0) {
                plan = std::move(other);
                chosen = i;
                break;
            }
        }
    }
    return std::make_unique<BoundPlan>(providers[chosen], std::move(plan));
}

std::int64_t extent(const TensorView& view, std::size_t rank, std::size_t axis, const char* allowed) {
    if (view.shape().size() != rank) {
        throw Error(ErrorCode::invalid_argument, view.name(), fmt::format("shape ({})", fmt::join(view.shape(), ", ")),
                    allowed);
    }
    return view.shape()[axis];
}

/// An 8-bit float's kind by the tensor's own type, where nothing else was said and the tensor says it.
DType element_of(const std::optional<std::string>& text, DType resolved, const TensorView& view) {
    return !text && resolved == DType::e4m3 && view.dtype() == DType::e5m2 ? DType::e5m2 : resolved;
}

/// The plan for a call with these tensors: E, N, K and the rows are theirs.
std::unique_ptr<BoundPlan> plan_call(const TensorView& a, const TensorView& w, const SpecTexts& texts,
                                     const std::optional<std::string>& provider, bool without_workspace) {
    GemmSpec spec = typed_spec(texts);
    spec.a = element_of(texts.a_dtype, spec.a, a);
    spec.w = element_of(texts.w_dtype, spec.w, w);
    spec.max_rows = extent(a, 2, 0, "shape (R, K), or (R, K/2) where two elements share a byte");
    constexpr const char* weights = "shape (E, N, K), or (E, N, K/2) where two elements share a byte";
    spec.experts = extent(w, 3, 0, weights);
    spec.n = extent(w, 3, 1, weights);
    spec.k = extent(w, 3, 2, weights) * info(spec.w).values;
    PlanOptions options;
    options.device = a.device();
    return make_plan(spec, options, provider, without_workspace);
}

std::vector<TensorRow> tensors_of(const BoundPlan& plan, std::int64_t rows) {
    if (rows < 0 || rows > plan.spec().max_rows) {
        throw Error(ErrorCode::invalid_argument, "rows", std::to_string(rows),
                    fmt::format("0 … the plan's max_rows, {}", plan.spec().max_rows));
    }
    return tensor_rows(plan.spec(), rows);
}

}  // namespace

void bind_plans(nb::module_& module) {
    nb::class_<TensorRow>(module, "TensorSpec", "What a tensor of a call must be.")
        .def_ro("name", &TensorRow::name, "As the op spells it.")
        .def_ro("dtype", &TensorRow::dtype, "Of a stored element: \"bf16\", \"e4m3\", \"e2m1x2\", …")
        .def_ro("shape", &TensorRow::shape, "Of stored elements.")
        .def("__repr__", [](const TensorRow& row) {
            return fmt::format("<{}: {} ({})>", row.name, row.dtype, fmt::join(row.shape, ", "));
        });
    nb::class_<BoundPlan>(module, "Plan", "A call made ready, for tensors that the caller has.")
        .def_prop_ro("provider", &BoundPlan::provider)
        .def_prop_ro("variant", [](const BoundPlan& plan) { return std::string(plan.spec().row().name); })
        .def_prop_ro("experts", [](const BoundPlan& plan) { return plan.spec().experts; })
        .def_prop_ro("n", [](const BoundPlan& plan) { return plan.spec().n; })
        .def_prop_ro("k", [](const BoundPlan& plan) { return plan.spec().k; })
        .def_prop_ro("max_rows", [](const BoundPlan& plan) { return plan.spec().max_rows; })
        .def_prop_ro("a_dtype", [](const BoundPlan& plan) { return std::string(info(plan.spec().a).name); })
        .def_prop_ro("w_dtype", [](const BoundPlan& plan) { return std::string(info(plan.spec().w).name); })
        .def_prop_ro("dst_dtype", [](const BoundPlan& plan) { return std::string(info(plan.spec().dst).name); })
        .def_prop_ro("scale_layout",
                     [](const BoundPlan& plan) { return std::string(to_string(plan.spec().scale_layout)); })
        .def_prop_ro("device",
                     [](const BoundPlan& plan) {
                         return std::pair<int, int>(plan.plan().device().device_type, plan.plan().device().device_id);
                     })
        .def_prop_ro("workspace_bytes", [](const BoundPlan& plan) { return plan.plan().workspace_bytes(); })
        .def_prop_ro("packed_bytes", [](const BoundPlan& plan) { return plan.plan().packed_bytes(); })
        .def_prop_ro("kernels", [](const BoundPlan& plan) { return plan.plan().kernels(); })
        .def("tensors", tensors_of, nb::arg("rows"), "The tensors of a call with so many rows.")
        .def("pack", &BoundPlan::pack, nb::arg("w"), nb::arg("w_scale").none(), nb::arg("packed_w"), nb::arg("stream"))
        .def("save_packed", &BoundPlan::save_packed, nb::arg("packed_w"), nb::arg("path"))
        .def("load_packed", &BoundPlan::load_packed, nb::arg("packed_w"), nb::arg("path"))
        .def(
            "run",
            [](BoundPlan& plan, const TensorView* a, const TensorView* m_indptr, const TensorView* w,
               const TensorView* a_scale, const TensorView* w_scale, const TensorView* alpha, const TensorView* y,
               const TensorView* packed_w, const TensorView* workspace, const TensorView* host_m_indptr,
               std::intptr_t stream) {
                plan.run({a, w, a_scale, w_scale, alpha, m_indptr, y, packed_w, workspace, host_m_indptr}, stream);
            },
            nb::kw_only(), nb::arg("a"), nb::arg("m_indptr"), nb::arg("w").none(), nb::arg("a_scale").none(),
            nb::arg("w_scale").none(), nb::arg("alpha").none(), nb::arg("y"), nb::arg("packed_w").none(),
            nb::arg("workspace").none(), nb::arg("host_m_indptr").none(), nb::arg("stream"));
    using Text = std::optional<std::string>;
    module.def(
        "plan",
        [](const std::string& variant, std::int64_t experts, std::int64_t n, std::int64_t k, std::int64_t max_rows,
           const Text& a_dtype, const Text& w_dtype, const Text& dst_dtype, const Text& scale_layout, bool has_alpha,
           std::pair<int, int> device, const Text& provider, int threads, const std::string& kernel, bool inexact) {
            GemmSpec spec = typed_spec({variant, a_dtype, w_dtype, dst_dtype, scale_layout, has_alpha});
            spec.experts = experts;
            spec.n = n;
            spec.k = k;
            spec.max_rows = max_rows;
            PlanOptions options;
            options.device = {static_cast<DLDeviceType>(device.first), device.second};
            options.threads = threads;
            options.kernel = kernel;
            options.inexact = inexact;
            return make_plan(spec, options, provider, false);
        },
        nb::kw_only(), nb::arg("variant"), nb::arg("experts"), nb::arg("n"), nb::arg("k"), nb::arg("max_rows"),
        nb::arg("a_dtype").none(), nb::arg("w_dtype").none(), nb::arg("dst_dtype").none(),
        nb::arg("scale_layout").none(), nb::arg("has_alpha"), nb::arg("device"), nb::arg("provider").none(),
        nb::arg("threads"), nb::arg("kernel"), nb::arg("inexact"));
    module.def(
        "plan_call",
        [](const TensorView& a, const TensorView& w, const std::string& variant, const Text& a_dtype,
           const Text& w_dtype, const Text& dst_dtype, const Text& scale_layout, bool has_alpha, const Text& provider,
           bool without_workspace) {
            return plan_call(a, w, {variant, a_dtype, w_dtype, dst_dtype, scale_layout, has_alpha}, provider,
                             without_workspace);
        },
        nb::kw_only(), nb::arg("a"), nb::arg("w"), nb::arg("variant"), nb::arg("a_dtype").none(),
        nb::arg("w_dtype").none(), nb::arg("dst_dtype").none(), nb::arg("scale_layout").none(), nb::arg("has_alpha"),
        nb::arg("provider").none(), nb::arg("without_workspace"), "The plan for a call with these tensors.");
}

}  // namespace moegemm::python
