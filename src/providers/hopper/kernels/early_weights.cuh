/// \file
/// The first weights, asked for before any row count is known.
///
/// A call of few rows waits for memory twice: for m_indptr, which says what each CTA's first tile is, then for the
/// tile's weights. Where every expert has a row or more and no more than a tile holds, the first tile is known from the
/// CTA's number alone, so its first weights can come to the L2 meanwhile. It is a guess: where it is wrong, the weights
/// are still those of a tile that some CTA has, but for experts without rows.
#pragma once

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/tma.cuh"

namespace moegemm::hopper {

[[nodiscard]] __device__ __forceinline__ ptx::Evict weights_policy(const Call& call) {
    return call.weights_first_out ? ptx::Evict::first : ptx::Evict::normal;
}

/// Asks for those of the CTA's first tile. One thread calls.
template <TileShape shape, int element_bytes>
__device__ __forceinline__ void ask_for_weights(const Maps& maps, const Call& call) {
    if (call.early_chunks == 0) {
        return;
    }
    const Tile tile = expected_first_tile<shape>(static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x),
                                                 call.experts, call.columns);
    if (tile.rows == 0) {
        return;
    }
    const CUtensorMap* const map = tile.columns < shape.columns ? &maps.w_part : &maps.w;
    for (int chunk = 0; chunk < call.early_chunks; ++chunk) {
        ptx::tma_prefetch_3d(map, chunk * row_bytes / element_bytes, tile.column, tile.expert, weights_policy(call));
    }
}

}  // namespace moegemm::hopper
