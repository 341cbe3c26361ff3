/// \file
/// A machine of the host's that says it has one GPU of a given capability: the provider's steps as loops over CPU
/// tensors, so that it is driven end to end where there is no GPU.
#pragma once

#include <utility>

#include "providers/flashinfer/machine.hpp"

namespace moegemm::test {

class HostMachine final : public flashinfer::Machine {
public:
    explicit HostMachine(int capability) { found_.gpus.push_back({"a double of a GPU", capability}); }
    explicit HostMachine(std::string no_gpu) { found_.reason = std::move(no_gpu); }

    [[nodiscard]] DLDeviceType device_type() const noexcept override { return kDLCPU; }
    [[nodiscard]] const flashinfer::Gpus& gpus() const noexcept override { return found_; }
    void check_reachable(const GemmSpec& /*spec*/, const Operands& /*operands*/, DLDevice /*device*/) const override {}
    void run(const flashinfer::Step& step, DLDevice /*device*/, void* /*stream*/) const override {
        std::visit(
            [](const auto& one) {
                for (std::int64_t index = 0; index < one.count(); ++index) {
                    one(index);
                }
            },
            step);
    }

private:
    flashinfer::Gpus found_;
};

}  // namespace moegemm::test
