#include "providers/hopper/kernels/widen.hpp"

#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/widen_row.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {
namespace {

constexpr int threads = 128;

/// A block a row.
template <DType a, DType scale>
__global__ void __launch_bounds__(threads) widen(const __grid_constant__ WidenCall call) {
    ptx::let_next_kernel_start();
    const int row = static_cast<int>(blockIdx.x);
    const RowOwner owner = owner_of(call.m_indptr, call.experts, row);
    if (owner.expert >= 0) {
        widen_row<a, scale, threads>(call, RowScales(call, owner, row), row, static_cast<int>(threadIdx.x));
    }
}

template <DType a, DType scale>
cudaError_t launch(const WidenCall& call, cudaStream_t stream) {
    widen<a, scale><<<static_cast<unsigned>(call.rows), threads, 0, stream>>>(call);
    return cudaGetLastError();
}

}  // namespace

cudaError_t widen_rows(DType a, DType scale, const WidenCall& call, cudaStream_t stream) {
    if (a == DType::e2m1x2) {
        return scale == DType::ue8m0 ? launch<DType::e2m1x2, DType::ue8m0>(call, stream)
                                     : launch<DType::e2m1x2, DType::ue4m3>(call, stream);
    }
    return a == DType::e4m3 ? launch<DType::e4m3, DType::ue8m0>(call, stream)
                            : launch<DType::e5m2, DType::ue8m0>(call, stream);
}

}  // namespace moegemm::hopper
