#include "providers/flashinfer/cuda_machine.hpp"

#include <cuda_runtime_api.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "cuda/reachable.hpp"
#include "providers/flashinfer/cuda_steps.hpp"

namespace moegemm::flashinfer {
namespace {

Gpus query() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        return {{}, cuda::why_no_gpu(status)};
    }
    Gpus found;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        cudaDeviceProp properties{};
        cuda::check(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
        found.gpus.push_back({properties.name, 10 * properties.major + properties.minor});
    }
    return found;
}

class CudaMachine final : public Machine {
public:
    CudaMachine() {
        try {
            found_ = query();
        } catch (const std::exception& error) {
            found_ = {{}, error.what()};
        }
    }

    [[nodiscard]] DLDeviceType device_type() const noexcept override { return kDLCUDA; }
    [[nodiscard]] const Gpus& gpus() const noexcept override { return found_; }

    void check_reachable(const GemmSpec& spec, const Operands& operands, DLDevice device) const override {
        const cuda::UseDevice use(device.device_id);
        cuda::check_reachable(operands, spec, device);
    }

    void run(const Step& step, DLDevice device, void* stream) const override {
        const cuda::UseDevice use(device.device_id);
        launch(step, static_cast<cudaStream_t>(stream));
    }

private:
    Gpus found_;
};

}  // namespace

std::shared_ptr<const Machine> make_cuda_machine() { return std::make_shared<CudaMachine>(); }

}  // namespace moegemm::flashinfer
