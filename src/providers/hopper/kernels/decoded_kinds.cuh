/// \file
/// The list of instantiations of decoded_weights, for one format of weights.
#pragma once

#include "providers/hopper/kernels/decoded_weights.cuh"
#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

/// What a kernel is made for.
template <WeightFormat weights>
struct DecodedKind {
    static constexpr WeightFormat format = weights;
    // The products that there are: of so many tokens, and of more in such steps, or twice as many each time (0).
    static constexpr int least_tokens = 64;
    static constexpr int tokens_step = 64;
    static constexpr DecodedSmem smem_of(const DecodedShape& shape) { return {shape, block_of(format).bytes()}; }
};
template <WeightFormat weights>
struct DecodedFew : DecodedKind<weights> {
    static constexpr int least_tokens = 8;
    static constexpr int tokens_step = 0;
    // Of weights of 8 bits, stages twice as deep would be too few.
    static constexpr int depths = weights == WeightFormat::e4m3_ue8m0 ? 2 : 4;
    static constexpr DecodedShape shape{4, 32, 8, 32, 0, 0, depths, 1, 128, false};
    static constexpr DecodedSmem smem = DecodedFew::smem_of(shape);
};
/// Few rows and few tiles.
template <WeightFormat weights>
struct DecodedFewTiles : DecodedFew<weights> {
    static constexpr DecodedShape shape{4, 32, 8, 32, 0, 0, 4, 2, 128, false};
    static constexpr DecodedSmem smem = DecodedFewTiles::smem_of(shape);
};
/// Four consumers, whose sums of 96 rows leave registers for them: two warps a scheduler would leave it idle, which
/// waits for decoding.
template <WeightFormat weights>
struct Decoded96 : DecodedKind<weights> {
    static constexpr int least_tokens = 32;
    static constexpr int tokens_step = 32;
    static constexpr DecodedShape shape{4, 96, 32, 96, 1, 0, 1, 1, 128, false};
    static constexpr DecodedSmem smem = Decoded96::smem_of(shape);
};
template <WeightFormat weights>
struct DecodedSome : DecodedKind<weights> {
    static constexpr int least_tokens = 32;
    static constexpr int tokens_step = 32;
    static constexpr DecodedShape shape{2, 128, 64, 64, 2, 8, 1, 1, 64, false};
    static constexpr DecodedSmem smem = DecodedSome::smem_of(shape);
};
template <WeightFormat weights>
struct DecodedMany : DecodedKind<weights> {
    static constexpr DecodedShape shape{2, 256, 64, 64, 2, 4, 1, 1, 64, true};
    static constexpr DecodedSmem smem = DecodedMany::smem_of(shape);
};

template <class Kind>
[[nodiscard]] Kernel decoded_kernel(std::string_view name) {
    constexpr DecodedShape shape = Kind::shape;
    constexpr DecodedSmem smem = Kind::smem;
    Kernel kernel{name, reinterpret_cast<const void*>(&decoded_weights<Kind>), shape.threads(), smem.bytes()};
    kernel.tile_rows = shape.tile().rows;
    kernel.tile_columns = shape.tile().columns;
    kernel.a_box = shape.large_box;
    kernel.a_part_box = shape.small_box;
    kernel.a_chunks = shape.depths;
    kernel.widens = shape.widens;
    return kernel;
}

template <WeightFormat format>
[[nodiscard]] KernelSet decoded_set() {
    return {decoded_kernel<DecodedFewTiles<format>>("decoded_32x128"),
            decoded_kernel<DecodedFew<format>>("decoded_32x256"), decoded_kernel<Decoded96<format>>("decoded_96x256"),
            decoded_kernel<DecodedMany<format>>("decoded_256x128"),
            decoded_kernel<DecodedSome<format>>("decoded_128x128")};
}

}  // namespace moegemm::hopper
