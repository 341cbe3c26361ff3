/// \file
/// What an instruction set offers to the loops around it: one table of functions and block sizes, in plain C types.
///
/// A product is made K block by K block. Of a block, the rows of A are decoded to f32, `k_block` numbers apart, and the
/// weights to f32 panels of `tile_columns` columns, (k, column). A tile's sum over the block starts from zero, runs
/// over k in ascending order in one f32 accumulator an element, and only then enters C. So an element's bits depend
/// neither on the rows nor on the columns beside it, nor on the function that made it.
///
/// Files of kernels that are compiled for one instruction set include this header, `outer_product.hpp` and intrinsics,
/// nothing else: a function template or inline function that other files share, compiled there, could be the copy that
/// the linker keeps, and then run on a machine that lacks the instructions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moegemm::cpu {

/// Depth of a K block. A multiple of every scale group, one block of fp8_block, and few enough int8 products that their
/// sum is exact in f32 (128 · 2^14 ≤ 2^24).
inline constexpr std::int64_t k_block = 128;

/// How an operand's elements are encoded.
enum class Element : std::uint8_t { bf16, i8, e4m3, e5m2, e2m1 };
inline constexpr std::size_t element_count = 5;

/// Bits of an element, by Element. (Tables, not functions: see above.)
inline constexpr std::int64_t element_bits[element_count] = {16, 8, 8, 8, 4};

/// One byte per group of elements along K, multiplied into them.
enum class GroupScale : std::uint8_t { none, ue8m0 /* groups of 32 */, ue4m3 /* groups of 16 */ };

/// Elements along K that share a scale, by GroupScale; without scales a K block is one group.
inline constexpr std::int64_t group_sizes[] = {k_block, 32, 16};

/// The weights' formats: element and group scale.
enum class WeightFormat : std::uint8_t { bf16, i8, e4m3, e5m2, e4m3_ue8m0, e5m2_ue8m0, e2m1_ue8m0, e2m1_ue4m3 };
inline constexpr std::size_t weight_format_count = 8;

/// How a K block's sums P enter C.
enum class Combine : std::uint8_t {
    store,       ///< C = P
    add,         ///< C += P, f32
    add_int,     ///< C += P, P a whole number, C int32
    add_scaled,  ///< C += P · mantissa · power, f32, with the row's factors
};

/// A row's factor of a K block's sums, in two parts so that neither overflows or vanishes where their product with P
/// does not: P · mantissa first, then · power.
struct RowFactor {
    float mantissa;
    float power;
};

/// Sums of some rows with one decoded tile panel.
struct TileCall {
    const float* a;            ///< (rows, k_block), decoded; `depth` numbers of a row are used
    const float* b;            ///< (depth, tile_columns), decoded
    std::int64_t rows;         ///< ≥ 1
    std::int64_t depth;        ///< 1 … k_block
    void* c;                   ///< (rows, tile_columns), f32 or int32
    const RowFactor* factors;  ///< (rows), for add_scaled
    Combine combine;
};

/// Sums of a few rows with one packed panel, decoded in registers.
struct PanelCall {
    const float* a;  ///< as in TileCall
    std::int64_t rows;
    std::int64_t depth;
    const std::uint8_t* elements;  ///< (depth, panel_columns), packed
    const std::uint8_t* scales;    ///< (groups, panel_columns); null where the format has none
    void* c;                       ///< (2, …): the second tile of the panel is `c_tile` elements after the first
    std::int64_t c_tile;
    const RowFactor* factors;
    Combine combine;
    const std::uint8_t* prefetch;  ///< what will be read after this, as many bytes; null for nothing
};

/// How a row of C becomes a row of y before the rounding to its type.
enum class Finish : std::uint8_t {
    row,             ///< f32(C · row_scale)
    row_column,      ///< f32(C · row_scale · column_scale[n]), rounded once
    row_column_int,  ///< f32(C) · f32(row_scale) · column_scale[n], C int32, left to right in f32
};

/// y's element.
enum class Dst : std::uint8_t { bf16, f16, f32 };

/// The epilogue of one row.
struct FinishCall {
    const void* c;        ///< the row in the first tile; (tile_columns) a tile
    std::int64_t c_tile;  ///< elements from tile to tile
    std::int64_t columns;
    double row_scale;
    const float* column_scale;  ///< (columns); null for Finish::row
    void* y;                    ///< (columns); aligned to its element only
    Finish finish;
    Dst dst;
};

/// Decodes `count` (1 … k_block) consecutive elements of a row.
/// \param scales one per `1 << group_shift` elements, multiplied in; null for none
/// \param[out] out k_block floats, of which the first `count` are meant
using DecodeRow = void (*)(const std::uint8_t* elements, std::int64_t count, const float* scales, int group_shift,
                           float* out);
/// Decodes one packed panel of a K block into two tile panels, (2, k_block, tile_columns).
using DecodePanel = void (*)(const std::uint8_t* elements, const std::uint8_t* scales, std::int64_t depth, float* out);

/// One instruction set's kernels. A panel is four vectors wide, a tile two.
///
/// Packed panels are (k, column) in the element's type; 4-bit rows are 16-bit words, nibble v of word l being column
/// l + v·panel_columns/4.
struct KernelFamily {
    const char* name;
    std::int64_t panel_columns;
    std::int64_t tile_columns;
    std::int64_t panel_rows;                        ///< the most rows that `panel_sums` takes
    DecodeRow decode_row[element_count];            ///< by Element
    DecodePanel decode_panel[weight_format_count];  ///< by WeightFormat
    void (*panel_sums[weight_format_count])(const PanelCall&);
    /// (panel_columns, k_block) to (2, k_block, tile_columns), the first `depth` of each column.
    void (*transpose)(const float* in, std::int64_t depth, float* out);
    void (*tile_sums)(const TileCall&);
    void (*finish_row)(const FinishCall&);
};

}  // namespace moegemm::cpu
