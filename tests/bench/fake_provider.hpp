// A provider whose results are right until a test spoils them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <moegemm/provider.hpp>

namespace moegemm::bench::test {

/// What a test may change about the reference provider, which does the work.
struct Spoil {
    std::function<void(const Operands&)> after_run;   ///< called when y is right
    std::function<void(const Operands&)> run;         ///< instead of the right run
    std::function<std::unique_ptr<Plan>()> plan;      ///< instead of the right plan
    std::function<void(const PlanOptions&)> planned;  ///< called with what the plan was asked for
    std::string unsupported;                          ///< a reason
    std::size_t workspace_bytes = 0;
    std::size_t packed_bytes = 0;
    std::function<void(const Tensor&)> pack;
    bool needs_host_counts = false;
    DLDeviceType device_type = kDLCPU;
    Accumulation accumulation = Accumulation::fp32;
};

class FakePlan final : public Plan {
public:
    FakePlan(std::unique_ptr<Plan> inner, const Spoil& spoil)
        : Plan(inner->spec(), inner->device()), inner_(std::move(inner)), spoil_(spoil) {}
    [[nodiscard]] std::size_t workspace_bytes() const override { return spoil_.workspace_bytes; }
    [[nodiscard]] std::size_t packed_bytes() const override { return spoil_.packed_bytes; }
    [[nodiscard]] std::vector<std::string> kernels() const override { return {"fake, one", "fake two"}; }

private:
    void do_pack(const Operands& /*operands*/, const Tensor& packed, void* /*stream*/) override {
        if (spoil_.pack) {
            spoil_.pack(packed);
        }
    }
    void do_run(const Operands& operands, void* stream) override {
        if (spoil_.run) {
            spoil_.run(operands);
            return;
        }
        Operands inputs = operands;
        inputs.packed_w = Tensor();
        inputs.workspace = Tensor();
        inner_->run(inputs, stream);
        if (spoil_.after_run) {
            spoil_.after_run(operands);
        }
    }

    std::unique_ptr<Plan> inner_;
    const Spoil& spoil_;
};

class FakeProvider final : public Provider {
public:
    explicit FakeProvider(Spoil spoil = {}, std::string name = "fake")
        : inner_(Registry::with_builtin().find("reference")), spoil_(std::move(spoil)), info_(inner_->info()) {
        info_.name = std::move(name);
        info_.needs_host_counts = spoil_.needs_host_counts;
        info_.device_type = spoil_.device_type;
        for (VariantSupport& support : info_.support) {
            support.accumulation = spoil_.accumulation;
        }
    }
    [[nodiscard]] const ProviderInfo& info() const override { return info_; }
    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        return spoil_.unsupported.empty() ? inner_->supports(spec) : Support::no(spoil_.unsupported);
    }
    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        if (spoil_.planned) {
            spoil_.planned(options);
        }
        if (spoil_.plan) {
            return spoil_.plan();
        }
        return std::make_unique<FakePlan>(inner_->plan(spec, options), spoil_);
    }

private:
    std::shared_ptr<const Provider> inner_;
    Spoil spoil_;
    ProviderInfo info_;
};

}  // namespace moegemm::bench::test
