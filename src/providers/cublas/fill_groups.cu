#include "providers/cublas/fill_groups.hpp"

#include "cuda/error.hpp"

namespace moegemm::cublas {
namespace {

constexpr int threads = 128;

__global__ void fill_all(const FillGroups fill, std::int64_t experts) {
    const std::int64_t expert = std::int64_t{blockIdx.x} * threads + threadIdx.x;
    if (expert < experts) {
        fill(expert);
    }
}

}  // namespace

void fill_groups(const FillGroups& fill, std::int64_t experts, cudaStream_t stream) {
    fill_all<<<static_cast<unsigned>((experts + threads - 1) / threads), threads, 0, stream>>>(fill, experts);
    cuda::check(cudaGetLastError(), "the launch that describes groups");
}

}  // namespace moegemm::cublas
