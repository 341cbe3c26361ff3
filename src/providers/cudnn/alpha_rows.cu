#include "providers/cudnn/alpha_rows.hpp"

#include <algorithm>

#include "cuda/error.hpp"

namespace moegemm::cudnn {
namespace {

constexpr int threads = 256;
constexpr std::int64_t most_blocks = 132;

__global__ void write(const float* alpha, float* to, std::int64_t rows) {
    const float value = *alpha;
    const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads;
    for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x; row < rows; row += step) {
        to[row] = value;
    }
}

}  // namespace

void write_alpha_rows(const float* alpha, float* to, std::int64_t rows, cudaStream_t stream) {
    const auto blocks = static_cast<unsigned>(std::min(most_blocks, (rows + threads - 1) / threads));
    write<<<blocks, threads, 0, stream>>>(alpha, to, rows);
    cuda::check(cudaGetLastError(), "the launch that writes alpha's rows");
}

}  // namespace moegemm::cudnn
