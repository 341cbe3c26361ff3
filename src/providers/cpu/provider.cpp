#include "providers/cpu/provider.hpp"

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "providers/cpu/kernels/dispatch.hpp"
#include "providers/cpu/plan.hpp"
#include "providers/cpu/thread_pool.hpp"

namespace moegemm {
namespace {

constexpr int most_threads = 4096;

class CpuProvider final : public Provider {
public:
    CpuProvider() {
        info_.name = std::string("cpu");
        info_.version = std::string("3");
        info_.description =
            fmt::format("all variants on the CPU; fastest kernels here: {}", cpu::available_families().front()->name);
        info_.support.fill({true, Accumulation::fp32, ScaleRange::full});
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }
    [[nodiscard]] Support supports(const GemmSpec& /*spec*/) const override { return Support::yes(); }

    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        if (options.device.device_type != kDLCPU) {
            throw Error(ErrorCode::unsupported, "device",
                        fmt::format("device type {}", static_cast<int>(options.device.device_type)), "the CPU");
        }
        if (options.threads < 0 || options.threads > most_threads) {
            throw Error(ErrorCode::invalid_argument, "threads", std::to_string(options.threads),
                        fmt::format("0 (all that the process may run on) … {}", most_threads));
        }
        const int threads = options.threads == 0 ? cpu::usable_processors() : options.threads;
        return std::make_unique<cpu::CpuPlan>(spec, options.device, cpu::choose_family(options.kernel), threads);
    }

private:
    ProviderInfo info_;
};

}  // namespace

std::shared_ptr<const Provider> make_cpu_provider() { return std::make_shared<CpuProvider>(); }

}  // namespace moegemm
