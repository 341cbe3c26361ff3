#include "bench/cuda/cuda_device.hpp"

#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "bench/cuda/kernels.hpp"
#include "bench/cuda/operand_fill.hpp"
#include "bench/generated_rows.hpp"
#include "cuda/error.hpp"

namespace moegemm::bench::cuda {
namespace {

using moegemm::cuda::check;
using moegemm::cuda::UseDevice;

/// A captured call, ready to be launched.
class Graph {
public:
    /// \param call enqueues on `stream`
    Graph(cudaStream_t stream, const std::function<void()>& call) {
        check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
        cudaGraph_t captured = nullptr;
        try {
            call();
        } catch (...) {
            (void)cudaStreamEndCapture(stream, &captured);
            (void)cudaGraphDestroy(captured);
            (void)cudaGetLastError();
            throw;
        }
        check(cudaStreamEndCapture(stream, &captured), "capturing the call");
        const cudaError_t status = cudaGraphInstantiate(&graph_, captured, 0);
        (void)cudaGraphDestroy(captured);
        check(status, "cudaGraphInstantiate");
    }
    ~Graph() { (void)cudaGraphExecDestroy(graph_); }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    void launch(cudaStream_t stream) const { check(cudaGraphLaunch(graph_, stream), "cudaGraphLaunch"); }

private:
    cudaGraphExec_t graph_ = nullptr;
};

/// Of the dense product: e4m3 has the tensor cores' rate for int8, too.
DType element_of(ComputeClass type) { return type == ComputeClass::bf16 ? DType::bf16 : DType::e4m3; }

}  // namespace

CudaDevice::CudaDevice(int ordinal) : CudaDevice(ordinal, open_gpu(ordinal)) {}

CudaDevice::CudaDevice(int ordinal, const Gpu& gpu)
    : ordinal_(ordinal),
      gpu_(gpu),
      meters_(gpu.pci_bus_id),
      timer_(stream_, meters_),
      read_floor_(gpu, stream_, timer_),
      dense_product_(stream_, timer_) {}

CudaDevice::~CudaDevice() = default;

std::vector<std::pair<std::string, std::string>> CudaDevice::details() const {
    std::vector<std::pair<std::string, std::string>> rows{
        {"name", gpu_.name},
        {"compute_capability", fmt::format("{}.{}", gpu_.major, gpu_.minor)},
        {"multiprocessors", std::to_string(gpu_.multiprocessors)},
        {"memory_bytes", std::to_string(gpu_.memory_bytes)},
        {"l2_bytes", std::to_string(gpu_.l2_bytes)},
        {"cuda", fmt::format("{}.{}", gpu_.driver / 1000, gpu_.driver % 1000 / 10)},
    };
    if (const std::string driver = meters_.driver_version(); !driver.empty()) {
        rows.emplace_back("driver", driver);
    }
    if (const std::optional<double> limit = meters_.power_limit_w()) {
        rows.emplace_back("power_limit_w", fmt::format("{:.0f}", *limit));
    }
    return rows;
}

std::int64_t CudaDevice::available_bytes() const {
    const UseDevice use(ordinal_);
    return free_bytes();
}

std::shared_ptr<void> CudaDevice::allocate(std::int64_t bytes) {
    const UseDevice use(ordinal_);
    return cuda::allocate(bytes);
}

void CudaDevice::set(void* target, std::uint8_t value, std::int64_t bytes) {
    const UseDevice use(ordinal_);
    if (bytes > 0) {
        check(cudaMemsetAsync(target, value, static_cast<std::size_t>(bytes), stream_.get()), "setting bytes");
    }
}

void CudaDevice::copy_to_host(void* target, const void* source, std::int64_t bytes) {
    const UseDevice use(ordinal_);
    if (bytes > 0) {
        check(cudaMemcpyAsync(target, source, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream_.get()),
              "copying to the host");
        stream_.wait("copying to the host");
    }
}

void CudaDevice::copy_from_host(void* target, const void* source, std::int64_t bytes) {
    const UseDevice use(ordinal_);
    if (bytes > 0) {
        check(cudaMemcpyAsync(target, source, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream_.get()),
              "copying to the device");
        stream_.wait("copying to the device");
    }
}

void CudaDevice::fill(const Problem& problem, std::uint64_t seed, Operands& operands) {
    const UseDevice use(ordinal_);
    fill_operands(problem, seed, operands, stream_.get());
    stream_.wait("drawing operands");
}

std::unique_ptr<OperandRows> CudaDevice::rows(const Problem& problem, const Operands& /*operands*/,
                                              std::uint64_t seed) {
    return std::make_unique<GeneratedRows>(problem, seed);
}

double CudaDevice::time(CacheRule rule, const std::function<void()>& call) {
    const UseDevice use(ordinal_);
    return timer_.time(rule, call);
}

void CudaDevice::empty_call() { launch_empty(stream_.get()); }

std::function<double()> CudaDevice::replay(CacheRule rule, const std::function<void()>& call) {
    const UseDevice use(ordinal_);
    const auto graph = std::make_shared<Graph>(stream_.get(), call);
    return [this, rule, graph] { return time(rule, [&] { graph->launch(stream_.get()); }); };
}

double CudaDevice::read_floor_us(std::int64_t bytes, CacheRule rule) {
    const UseDevice use(ordinal_);
    return read_floor_.microseconds(bytes, rule);
}

std::optional<double> CudaDevice::compute_floor_us(std::int64_t m, std::int64_t n, std::int64_t k, ComputeClass type,
                                                   CacheRule rule) {
    const UseDevice use(ordinal_);
    return dense_product_.microseconds({m, n, k, element_of(type)}, rule);
}

std::function<double()> CudaDevice::dense_sample(std::int64_t m, std::int64_t n, std::int64_t k, ComputeClass type,
                                                 CacheRule rule) {
    const UseDevice use(ordinal_);
    const std::function<double()> sample = dense_product_.sampler({m, n, k, element_of(type)}, rule);
    if (!sample) {
        return {};
    }
    return [this, sample] {
        const UseDevice in_sample(ordinal_);
        return sample();
    };
}

}  // namespace moegemm::bench::cuda
