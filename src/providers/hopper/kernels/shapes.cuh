/// \file
/// The list of instantiations: the shapes that each kind of elements is made in.
#pragma once

#include <string_view>

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
            shape.ctas,
            shape.tile().rows,
            shape.tile().columns,
            shape.box(),
            shape.box(),
            shape.tile().columns,
            shape.part};
}

template <class E, class Shape>
[[nodiscard]] Kernel many_rows_kernel(std::string_view name) {
    constexpr ManyRowsShape shape = Shape::value;
    return {name,
            reinterpret_cast<const void*>(&many_rows<E, Shape>),
            shape.threads(),
            shape.smem(E::factors, E::is_block_scaled).bytes(),
            1,
            shape.rows(),
            shape.columns,
            shape.rows(),
            wgmma_rows,
            shape.columns,
            shape.part};
}

// Shapes: types that hold them, as kernels want them.
struct Few16 {
    static constexpr FewRowsShape value{1, 16, 5, 2, 64};
};
struct Few64 {
    static constexpr FewRowsShape value{2, 64, 4, 1, 64};
};
struct Many128 {
    static constexpr ManyRowsShape value{128, 6, 1, true};
};
struct Many256 {
    static constexpr ManyRowsShape value{256, 4, 2, false};
};

/// Every shape.
template <class E>
[[nodiscard]] KernelSet all_shapes() {
    return {few_rows_kernel<E, Few16>("few_rows_16x64"), few_rows_kernel<E, Few64>("few_rows_64x128"), Kernel{},
            many_rows_kernel<E, Many256>("many_rows_128x256"), many_rows_kernel<E, Many128>("many_rows_128x128")};
}

/// One shape for few rows and one for many: for elements that are seldom met.
template <class E>
[[nodiscard]] KernelSet two_shapes() {
    return {Kernel{}, few_rows_kernel<E, Few64>("few_rows_64x128"), Kernel{},
            many_rows_kernel<E, Many256>("many_rows_128x256")};
}

}  // namespace moegemm::hopper
