/// \file
/// Kinds of operands that kernels are made for.
#pragma once

#include <cstdint>

#include "providers/hopper/ptx/wgmma.cuh"

namespace moegemm::hopper {

/// What a finished sum is multiplied by.
enum class Factors : std::uint8_t {
    none,
    token_channel,  ///< its row's scale, then its column's
    call,           ///< those of token_channel, or alpha, or nothing: known at run time
};

/// Elements of A and W, what finished sums are multiplied by, and whether the tensor cores' sums are added up in
/// float32 every 128 bytes of K: fp8 sums keep fewer bits than float32. With block scales, each such sum is scaled
/// before.
template <class A, class W, Factors after, bool promoted, bool block_scaled = false>
struct Elements {
    using a = A;
    using w = W;
    static constexpr Factors factors = after;
    static constexpr bool is_promoted = promoted;
    static constexpr bool is_block_scaled = block_scaled;
    static constexpr int bytes = 32 / ptx::Wgmma<W, A, 8>::k;  ///< of an element
    static_assert(promoted || !block_scaled, "block scales are applied when sums are promoted");
};

using Bf16Elements = Elements<ptx::Bf16, ptx::Bf16, Factors::none, false>;
using Int8Elements = Elements<ptx::S8, ptx::S8, Factors::token_channel, false>;
template <class A, class W>
using Fp8Elements = Elements<A, W, Factors::call, true>;
template <class A, class W>
using Fp8BlockElements = Elements<A, W, Factors::none, true, true>;

}  // namespace moegemm::hopper
