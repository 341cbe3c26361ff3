/// \file
/// Makes a recipe's kernels: in the tile sizes that there are.
#pragma once

#include <type_traits>

#include "providers/cuda/grouped_gemm.cuh"
#include "providers/cuda/kernels.hpp"

namespace moegemm::cuda {

//                          weights × tokens, of a warp, blocks an SM
using FewTokens = TileShape<64, 16, 16, 16, 4>;
using SomeTokens = TileShape<128, 64, 64, 32, 2>;
using ManyTokens = TileShape<256, 128, 64, 64, 1>;

template <class R, class Tile>
Kernel kernel_of() {
    return {reinterpret_cast<const void*>(&grouped_gemm<R, Tile>),
            Tile::threads,
            Tile::weights,
            Tile::tokens,
            StagePlan<R, Tile>::bytes,
            Tile::blocks_an_sm};
}

/// Whether registers suffice for the largest tile: not beside a group's sums, nor beside scales of 16 on both sides,
/// nor, without the instruction for e4m3, for decoding both 8-bit formats.
template <class R>
inline constexpr bool has_room = R::scale_at != ScaleAt::sums && !(R::tokens_scaled && R::group < step_depth) &&
                                 !std::is_same_v<typename R::Weight, EitherFp8Element>;

template <class R>
Kernels kernels_of() {
    using Many = std::conditional_t<has_room<R>, ManyTokens, SomeTokens>;
    return {kernel_of<R, FewTokens>(), kernel_of<R, SomeTokens>(), kernel_of<R, Many>()};
}

}  // namespace moegemm::cuda
