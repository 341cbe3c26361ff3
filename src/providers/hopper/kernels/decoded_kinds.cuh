/// \file
/// The list of instantiations of decoded_weights, for one format of weights.
#pragma once

#include "providers/hopper/kernels/decoded_weights.cuh"
#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

template <WeightFormat weights>
struct DecodedFew {
    static constexpr WeightFormat format = weights;
    static constexpr bool rebased = false;
    static constexpr DecodedShape shape{4, 64, 8, 32, 0, 0, 12};
};
template <WeightFormat weights>
struct DecodedSome {
    static constexpr WeightFormat format = weights;
    static constexpr bool rebased = false;
    static constexpr DecodedShape shape{2, 128, 64, 64, 2, 8, 12};
};
template <WeightFormat weights>
struct DecodedMany {
    static constexpr WeightFormat format = weights;
    static constexpr bool rebased = false;
    static constexpr DecodedShape shape{2, 256, 64, 64, 2, 8, 12};
};

template <WeightFormat weights>
struct RebasedSome : DecodedSome<weights> {
    static constexpr bool rebased = true;
};
template <WeightFormat weights>
struct RebasedMany : DecodedMany<weights> {
    static constexpr bool rebased = true;
};

template <class Kind>
[[nodiscard]] Kernel decoded_kernel(std::string_view name) {
    constexpr DecodedShape shape = Kind::shape;
    constexpr DecodedSmem smem{block_of(Kind::format).bytes() * (Kind::rebased ? 2 : 1), shape};
    Kernel kernel{name, reinterpret_cast<const void*>(&decoded_weights<Kind>), shape.threads(), smem.bytes()};
    kernel.tile_rows = shape.tile().rows;
    kernel.tile_columns = shape.tile().columns;
    kernel.a_box = shape.large_box;
    kernel.a_part_box = shape.small_box;
    return kernel;
}

template <WeightFormat format>
[[nodiscard]] KernelSet decoded_set() {
    return {decoded_kernel<DecodedFew<format>>("decoded_64x256"),
            decoded_kernel<DecodedSome<format>>("decoded_128x128"),
            decoded_kernel<DecodedMany<format>>("decoded_256x128")};
}

template <WeightFormat format>
[[nodiscard]] KernelSet rebased_set() {
    return {Kernel{}, decoded_kernel<RebasedSome<format>>("rebased_128x128"),
            decoded_kernel<RebasedMany<format>>("rebased_256x128")};
}

}  // namespace moegemm::hopper
