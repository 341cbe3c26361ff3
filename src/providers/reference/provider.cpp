#include "providers/reference/provider.hpp"

#include <new>
#include <string>

#include <fmt/format.h>

#include <moegemm/error.hpp>
#include <moegemm/reference.hpp>

#include "providers/reference/round.hpp"

namespace moegemm {
namespace {

constexpr std::string_view kernel_name = "float64";

void store(std::span<const double> values, const Tensor& y) {
    const auto write = [&](auto* target, auto round) {
        for (const double value : values) {
            *target++ = round(value);
        }
    };
    switch (y.dtype()) {
        case DType::bf16:
            return write(y.as<std::uint16_t>(), round_to_bf16);
        case DType::f16:
            return write(y.as<std::uint16_t>(), round_to_f16);
        default:
            return write(y.as<float>(), [](double value) { return static_cast<float>(value); });
    }
}

class ReferencePlan final : public Plan {
public:
    ReferencePlan(const GemmSpec& spec, DLDevice device) : Plan(spec, device) {}
    [[nodiscard]] std::vector<std::string> kernels() const override { return {std::string(kernel_name)}; }

private:
    void do_run(const Operands& operands, void* /*stream*/) override {
        const auto* first = operands.m_indptr.as<const std::int32_t>();
        try {
            const Problem problem = Problem::from(spec(), {first, first + spec().experts + 1});
            store(reference(problem, HostOperandRows(spec(), operands, problem.m_indptr())), operands.y);
        } catch (const std::bad_alloc&) {
            throw Error(ErrorCode::out_of_memory, "y",
                        fmt::format("{} elements, 8 bytes each before their rounding", operands.y.elements()),
                        "what the memory holds");
        }
    }
};

class ReferenceProvider final : public Provider {
public:
    ReferenceProvider() { info_.support.fill({true, Accumulation::fp32, ScaleRange::full}); }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }
    [[nodiscard]] Support supports(const GemmSpec& /*spec*/) const override { return Support::yes(); }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        if (options.device.device_type != kDLCPU) {
            throw Error(ErrorCode::unsupported, "device",
                        fmt::format("device type {}", static_cast<int>(options.device.device_type)), "the CPU");
        }
        if (options.threads < 0) {
            throw Error(ErrorCode::invalid_argument, "threads", std::to_string(options.threads), "0 or more");
        }
        if (!options.kernel.empty() && options.kernel != kernel_name) {
            throw Error(ErrorCode::invalid_argument, "kernel", options.kernel, std::string(kernel_name));
        }
        return std::make_unique<ReferencePlan>(spec, options.device);
    }

private:
    ProviderInfo info_{"reference", "1",   "float64 on one CPU thread: what every result is held against",
                       kDLCPU,      false, {}};
};

}  // namespace

std::shared_ptr<const Provider> make_reference_provider() { return std::make_shared<ReferenceProvider>(); }

}  // namespace moegemm
