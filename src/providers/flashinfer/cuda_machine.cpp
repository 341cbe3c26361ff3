#include "providers/flashinfer/cuda_machine.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "op/tensor_name.hpp"
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
        for (int i = 0; i < role_count; ++i) {
            const auto role = static_cast<Role>(i);
            check_reachable(operands[role], tensor_name(spec.row(), role), device);
        }
        check_reachable(operands.workspace, "workspace", device);
    }

    void run(const Step& step, DLDevice device, void* stream) const override {
        const cuda::UseDevice use(device.device_id);
        launch(step, static_cast<cudaStream_t>(stream));
    }

private:
    /// A pointer that the GPU cannot follow would end the process's CUDA context, if FlashInfer did not end the
    /// process.
    static void check_reachable(const Tensor& tensor, std::string_view name, DLDevice device) {
        if (!tensor.defined() || tensor.elements() == 0) {
            return;
        }
        cudaPointerAttributes attributes{};
        cuda::check(cudaPointerGetAttributes(&attributes, tensor.data()), "cudaPointerGetAttributes");
        if (attributes.type == cudaMemoryTypeManaged ||
            (attributes.type == cudaMemoryTypeDevice && attributes.device == device.device_id)) {
            return;
        }
        throw Error(ErrorCode::invalid_argument, std::string(name),
                    attributes.type == cudaMemoryTypeDevice ? fmt::format("memory of GPU {}", attributes.device)
                                                            : std::string("host memory"),
                    fmt::format("memory of GPU {}", device.device_id));
    }

    Gpus found_;
};

}  // namespace

std::shared_ptr<const Machine> make_cuda_machine() { return std::make_shared<CudaMachine>(); }

}  // namespace moegemm::flashinfer
