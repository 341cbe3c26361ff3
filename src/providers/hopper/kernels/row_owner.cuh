/// \file
/// Which expert owns a row, whatever m_indptr holds, and where the row's scales lie.
#pragma once

#include <cstdint>

#include "providers/hopper/kernels/widen.hpp"

namespace moegemm::hopper {

struct RowOwner {
    int expert;  ///< -1: none
    int first_row;
    int end_row;  ///< one past its last; of no expert: any that is not beyond the row
};
/// All lanes of a warp call together.
__device__ __forceinline__ RowOwner owner_of(const std::int32_t* m_indptr, int experts, int row) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    int expert = 0;  // as many as end at the row or before it
    for (int first = 0; first < experts; first += 32) {
        const bool before = first + lane < experts && __ldg(m_indptr + first + lane + 1) <= row;
        expert += __popc(__ballot_sync(~0U, before));
    }
    if (expert >= experts) {
        return {-1, 0, row};
    }
    const int first_row = __ldg(m_indptr + expert);
    return first_row < 0 || first_row > row ? RowOwner{-1, 0, row}
                                            : RowOwner{expert, first_row, __ldg(m_indptr + expert + 1)};
}

/// The scales of a row of A.
class RowScales {
public:
    RowScales() = default;
    __device__ __forceinline__ RowScales(const WidenCall& call, const RowOwner& owner, int row)
        : first_(call.a_scale + scales::a_scale_index(call.layout, row, 0, owner.expert, owner.first_row, call.rows,
                                                      call.scale_columns)),
          swizzled_(call.layout != ScaleLayout::linear) {}
    /// The code of column `column`: four lie together, the next four a tile further (scales::swizzled_offset).
    [[nodiscard]] __device__ __forceinline__ std::uint32_t code(int column) const {
        return __ldg(first_ + (swizzled_ ? column / 4 * static_cast<int>(scales::tile_bytes) + column % 4 : column));
    }

private:
    const std::uint8_t* first_ = nullptr;
    bool swizzled_ = false;
};

}  // namespace moegemm::hopper
