/// \file
/// The list of instantiations: the shapes that each kind of elements is made in.
#pragma once

#include <type_traits>

#include "providers/hopper/kernels/few_rows.cuh"
#include "providers/hopper/kernels/kernel.hpp"
#include "providers/hopper/kernels/many_rows.cuh"

namespace moegemm::hopper {

template <class E, class Shape>
[[nodiscard]] Kernel few_rows_kernel(std::string_view name) {
    constexpr FewRowsShape shape = Shape::value;
    return {name,
            reinterpret_cast<const void*>(&few_rows<E, Shape>),
            shape.threads(E::is_block_scaled),
            shape.smem(E::is_block_scaled).bytes(),
            1,
            shape.ctas,
            shape.tile().rows,
            shape.tile().columns,
            shape.box(),
            shape.tile().columns};
}

template <class E, class Shape>
[[nodiscard]] Kernel many_rows_kernel(std::string_view name) {
    constexpr ManyRowsShape shape = Shape::value;
    return {name,
            reinterpret_cast<const void*>(&many_rows<E, Shape>),
            ManyRowsShape::threads,
            shape.smem(E::factors, E::is_block_scaled).bytes(),
            shape.cluster,
            1,
            shape.rows,
            shape.columns,
            shape.rows / shape.cluster,
            shape.columns / shape.cluster,
            shape.mapped};
}

// Shapes: types that hold them, as kernels want them.
struct Few16 {
    static constexpr FewRowsShape value{1, 16, 5, 2};
};
struct Few64 {
    static constexpr FewRowsShape value{2, 64, 4, 1};
};
struct Many128 {
    static constexpr ManyRowsShape value{128, 128, 6, 2, 16, 1, 1, true, false};
};
struct Many128BlockScaled {  // whose scales take the place of a stage
    static constexpr ManyRowsShape value{128, 128, 5, 2, 16, 1, 1, true, false};
};
struct Many128Paired {  // CTAs that share rows of A or weights
    static constexpr ManyRowsShape value{128, 128, 6, 2, 8, 2, 1, false, false};
};
struct Many256 {
    static constexpr ManyRowsShape value{256, 256, 4, 2, 16, 1, 1, false, false};
};
struct Many192 {
    static constexpr ManyRowsShape value{192, 192, 4, 3, 16, 1, 1, true, true};
};

struct Many256BlockScaled {  // in products of 128 columns: two whole blocks
    static constexpr ManyRowsShape value{256, 128, 4, 2, 16, 1, 1, true, true};
};
/// bf16 gains 3 % where weights come from memory; with promotion the two CTAs wait for each other more than they gain.
template <class E>
using Many128Of = std::conditional_t<E::is_block_scaled, Many128BlockScaled,
                                     std::conditional_t<E::is_promoted, Many128, Many128Paired>>;

/// Every shape.
template <class E>
[[nodiscard]] KernelSet all_shapes() {
    KernelSet set{few_rows_kernel<E, Few16>("few_rows_16x64"), few_rows_kernel<E, Few64>("few_rows_64x128"),
                  many_rows_kernel<E, Many128Of<E>>("many_rows_128x128"), Kernel{}};
    if constexpr (E::is_block_scaled) {
        set[3] = many_rows_kernel<E, Many256BlockScaled>("many_rows_128x256");
    } else if constexpr (E::is_promoted) {
        set[3] = many_rows_kernel<E, Many192>("many_rows_128x192");
    } else {
        set[3] = many_rows_kernel<E, Many256>("many_rows_128x256");
    }
    return set;
}

/// One shape for few rows and one for many: for elements that are seldom met.
template <class E>
[[nodiscard]] KernelSet two_shapes() {
    return {Kernel{}, few_rows_kernel<E, Few64>("few_rows_64x128"),
            many_rows_kernel<E, Many128Of<E>>("many_rows_128x128"), Kernel{}};
}

}  // namespace moegemm::hopper
