#include "providers/hopper/kernels/widen.hpp"

#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/widen_row.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {
namespace {

constexpr int threads = 128;

/// A block a row.
template <DType a, DType scale>
__global__ void __launch_bounds__(threads)
    widen(const __grid_constant__ WidenCall call, std::uint32_t* progress, int progress_words) {
    ptx::let_next_kernel_start();
    const int row = static_cast<int>(blockIdx.x);
    const int thread = static_cast<int>(threadIdx.x);
    for (int word = row * threads + thread; word < progress_words; word += static_cast<int>(gridDim.x) * threads) {
        progress[word] = 0;
    }
    const RowOwner owner = owner_of(call.m_indptr, call.experts, row);
    if (owner.expert >= 0) {
        widen_row<a, scale, threads>(call, RowScales(call, owner, row), row, thread);
    }
}

template <DType a, DType scale>
cudaError_t launch(const WidenCall& call, int end, std::uint32_t* progress, cudaStream_t stream) {
    const int words = progress == nullptr ? 0 : static_cast<int>(RowProgress::words(call.rows));
    widen<a, scale><<<static_cast<unsigned>(end), threads, 0, stream>>>(call, progress, words);
    return cudaGetLastError();
}

}  // namespace

cudaError_t widen_rows(DType a, DType scale, const WidenCall& call, int end, std::uint32_t* progress,
                       cudaStream_t stream) {
    if (a == DType::e2m1x2) {
        return scale == DType::ue8m0 ? launch<DType::e2m1x2, DType::ue8m0>(call, end, progress, stream)
                                     : launch<DType::e2m1x2, DType::ue4m3>(call, end, progress, stream);
    }
    return a == DType::e4m3 ? launch<DType::e4m3, DType::ue8m0>(call, end, progress, stream)
                            : launch<DType::e5m2, DType::ue8m0>(call, end, progress, stream);
}

}  // namespace moegemm::hopper
