/// \file
/// One row of A of 4 or 8 bits and its scales to bf16, in memory.
#pragma once

#include <cstdint>

#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/row_unit.cuh"
#include "providers/hopper/kernels/widen.hpp"

namespace moegemm::hopper {

/// \param thread of `threads` that call together
template <DType a, DType scale, int threads>
__device__ __forceinline__ void widen_row(const WidenCall& call, const RowScales& scales, int row, int thread) {
    using Unit = RowUnit<a, scale>;
    constexpr int at_once = 2;  // loads that are under way together
    const int units = call.depth / Unit::values;
    const std::uint8_t* source = call.a + (static_cast<std::int64_t>(row) * units + thread) * Unit::bytes;
    auto* target = reinterpret_cast<uint4*>(call.out + static_cast<std::int64_t>(row) * call.depth) + thread * 2;
    for (int at = thread; at - thread < units; at += threads * at_once) {
        Unit loaded[at_once];
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            if (at + i * threads < units) {
                loaded[i].load(source + i * threads * Unit::bytes,
                               scales.code((at + i * threads) * Unit::values / Unit::group));
            }
        }
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            if (at + i * threads < units) {
                uint4 front;
                uint4 back;
                loaded[i].widen(front, back);
                target[i * threads * 2] = front;
                target[i * threads * 2 + 1] = back;
            }
        }
        source += threads * at_once * Unit::bytes;
        target += threads * at_once * 2;
    }
}

}  // namespace moegemm::hopper
