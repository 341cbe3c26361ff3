#include "providers/hopper/kernels/pack_weights.hpp"

namespace moegemm::hopper {
namespace {

template <WeightFormat format>
__global__ void __launch_bounds__(RowBlockPacking<format>::threads, 2)
    pack_row_block(const __grid_constant__ PackCall call) {
    using Packing = RowBlockPacking<format>;
    __shared__ typename Packing::Shared shared;
    const int thread = static_cast<int>(threadIdx.x);
    const Packing packing{call, shared, static_cast<std::int64_t>(blockIdx.y), static_cast<int>(blockIdx.x)};
    packing.look_at_scales(thread);
    __syncthreads();
    packing.look_at_values(thread);
    for (int depth = 0; depth < call.shape.depths; depth += Packing::depths_at_once) {
        __syncthreads();
        packing.load(thread, depth);
        __syncthreads();
        packing.store(thread, depth);
    }
    __syncthreads();
    packing.store_row(thread);
}

template <WeightFormat format>
void start(const PackCall& call, std::int64_t experts, cudaStream_t stream) {
    const dim3 grid(static_cast<unsigned>(call.shape.row_blocks), static_cast<unsigned>(experts));
    pack_row_block<format><<<grid, RowBlockPacking<format>::threads, 0, stream>>>(call);
}

}  // namespace

cudaError_t pack_weights(WeightFormat format, const PackCall& call, std::int64_t experts, cudaStream_t stream) {
    switch (format) {
        case WeightFormat::e2m1_ue8m0:
            start<WeightFormat::e2m1_ue8m0>(call, experts, stream);
            break;
        case WeightFormat::e2m1_ue4m3:
            start<WeightFormat::e2m1_ue4m3>(call, experts, stream);
            break;
        case WeightFormat::e4m3_ue8m0:
            start<WeightFormat::e4m3_ue8m0>(call, experts, stream);
            break;
    }
    return cudaGetLastError();
}

}  // namespace moegemm::hopper
