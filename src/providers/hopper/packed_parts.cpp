#include "providers/hopper/packed_parts.hpp"

#include "op/checked.hpp"

namespace moegemm::hopper {

PackedParts packed_parts(WeightFormat format, std::int64_t experts, std::int64_t n, std::int64_t k) {
    constexpr std::int64_t alignment = 256;
    constexpr const char* what = "packed weights";
    const PackedShape shape = PackedShape::of(n, k);
    const std::int64_t rows = checked_mul(experts, shape.row_blocks, what);
    const std::int64_t blocks = checked_mul(checked_mul(rows, shape.depths, what), block_of(format).bytes(), what);
    PackedParts parts{};
    parts.blocks_end = blocks;
    parts.row_factors = checked_add(blocks, alignment - 1, what) / alignment * alignment;
    const std::int64_t all_rows = checked_mul(rows, WeightBlock::rows, what);
    const std::int64_t factors = checked_mul(all_rows, static_cast<std::int64_t>(sizeof(float)), what);
    parts.rebased_factors = checked_add(parts.row_factors, factors, what);
    parts.not_rebasable = checked_add(parts.rebased_factors, factors, what);
    parts.bytes = checked_add(parts.not_rebasable, static_cast<std::int64_t>(sizeof(std::uint32_t)), what);
    return parts;
}

}  // namespace moegemm::hopper
