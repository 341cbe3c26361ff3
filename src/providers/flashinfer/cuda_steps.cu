#include "providers/flashinfer/cuda_steps.hpp"

#include <algorithm>

#include "cuda/error.hpp"

namespace moegemm::flashinfer {
namespace {

constexpr int block_threads = 256;
/// The largest grid; threads then take one index after another.
constexpr std::int64_t most_blocks = 1 << 20;

template <class Each>
__global__ void __launch_bounds__(block_threads) for_each_index(const Each each, const std::int64_t count) {
    const auto stride = static_cast<std::int64_t>(gridDim.x) * block_threads;
    for (auto index = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x; index < count;
         index += stride) {
        each(index);
    }
}

template <class Each>
void launch_one(const Each& each, cudaStream_t stream) {
    const std::int64_t count = each.count();
    if (count == 0) {
        return;
    }
    const std::int64_t blocks = std::min((count + block_threads - 1) / block_threads, most_blocks);
    for_each_index<<<static_cast<unsigned>(blocks), block_threads, 0, stream>>>(each, count);
    cuda::check(cudaGetLastError(), "a step of provider flashinfer");
}

}  // namespace

void launch(const Step& step, cudaStream_t stream) {
    std::visit([&](const auto& each) { launch_one(each, stream); }, step);
}

}  // namespace moegemm::flashinfer
