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
            shape.threads(),
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

struct Few16 {
    static constexpr FewRowsShape value{1, 16, 8, 1};
};
struct Few64 {
    static constexpr FewRowsShape value{1, 64, 6, 1};
};
struct Many128 {
    static constexpr ManyRowsShape value{128, 128, 6, 2, 16, 1, false};
};
struct Many128BlockScaled {  // whose scales take the place of a stage
    static constexpr ManyRowsShape value{128, 128, 5, 2, 16, 1, false};
};
struct Many256 {
    static constexpr ManyRowsShape value{256, 256, 4, 2, 16, 1, false};
};
struct Many192 {
    static constexpr ManyRowsShape value{192, 192, 4, 3, 16, 1, true};
};

template <class E>
using Many128Of = std::conditional_t<E::is_block_scaled, Many128BlockScaled, Many128>;

/// Every shape.
template <class E>
[[nodiscard]] KernelSet all_shapes() {
    KernelSet set{few_rows_kernel<E, Few16>("few_rows_16x64"), few_rows_kernel<E, Few64>("few_rows_64x64"),
                  many_rows_kernel<E, Many128Of<E>>("many_rows_128x128"), Kernel{}};
    if constexpr (E::is_promoted) {
        set[3] = many_rows_kernel<E, Many192>("many_rows_128x192");
    } else {
        set[3] = many_rows_kernel<E, Many256>("many_rows_128x256");
    }
    return set;
}

/// One shape for few rows and one for many: for elements that are seldom met.
template <class E>
[[nodiscard]] KernelSet two_shapes() {
    return {Kernel{}, few_rows_kernel<E, Few64>("few_rows_64x64"),
            many_rows_kernel<E, Many128Of<E>>("many_rows_128x128"), Kernel{}};
}

}  // namespace moegemm::hopper
