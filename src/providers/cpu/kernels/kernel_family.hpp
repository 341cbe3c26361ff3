/// \file
/// What an instruction set offers to the loops around it: one table of functions and block sizes, in plain C types.
///
/// A product is made K block by K block. Of a block, the rows of A are decoded to f32, `k_block` numbers apart, and the
/// weights to f32 tiles of `tile_columns` columns, (k, column). A tile's sum over the block starts from zero, runs
/// over k in ascending order in one f32 accumulator an element, and only then enters C. So an element's bits depend
/// neither on the rows nor on the columns beside it, nor on the function that made it. Sums of int8 are whole numbers
/// in any order.
///
/// Weights come in panels of sixteen columns, in lines of 64 bytes: sixteen columns by as many k as four bytes hold.
/// A line is one register of AVX-512, two of AVX2, or a row of an AMX tile; four panels are read side by side, because
/// several streams of addresses come faster from memory than one. Bytes of a line:
///
///   bf16   column · 4 + 2 · (k mod 2)
///   int8   column · 4 + k mod 4
///   fp8    quarter · 16 + half · 8 + (column mod 4) · 2 + k mod 2     quarter = column / 4, half = k mod 4 / 2
///   e2m1   column · 4 + k mod 8 / 2, the even k in the low nibble
///
/// These elements are bf16 exactly. The order of 8-bit floats is that in which interleaving the bytes of two look-ups
/// (unpacklo, unpackhi within 128 bits) gives 32-bit lanes of one column and two k as bf16. Of e2m1 it is one look-up
/// of words by their i-th nibbles that gives such lanes, of k = i and k = 4 + i.
///
/// Files of kernels that are compiled for one instruction set include headers of this folder, structures and
/// intrinsics, nothing else: a function template or inline function that other files share, compiled there, could be
/// the copy that the linker keeps, and then run on a machine that lacks the instructions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moegemm::cpu {

/// Depth of a K block. A multiple of every scale group, one block of fp8_block, and few enough int8 products that their
/// sum is exact in f32 (128 · 2^14 ≤ 2^24).
inline constexpr std::int64_t k_block = 128;

/// The same where int8 is multiplied as such: the sums are exact at any depth.
inline constexpr std::int64_t int8_k_block = 512;

/// Columns of a panel of weights, bytes of its lines, and how many panels are read side by side at most.
inline constexpr std::int64_t panel_columns = 16;
inline constexpr std::int64_t line_bytes = 64;
inline constexpr std::int64_t group_panels = 4;

/// How an operand's elements are encoded.
enum class Element : std::uint8_t { bf16, i8, e4m3, e5m2, e2m1 };
inline constexpr std::size_t element_count = 5;

/// Bits of an element, by Element. (Tables, not functions: see above.)
inline constexpr std::int64_t element_bits[element_count] = {16, 8, 8, 8, 4};

/// Elements along K of a line, by Element.
inline constexpr std::int64_t line_depths[element_count] = {2, 4, 4, 4, 8};

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

/// The same K block of some panels, as packed.
struct PanelGroup {
    const std::uint8_t* scales;    ///< of the first, (groups, panel_columns); unused where the format has none
    const std::uint8_t* elements;  ///< of the first, lines
    std::int64_t stride;           ///< bytes from panel to panel
    std::int64_t panels;           ///< 2 or 4
};

/// Sums of some rows with one decoded tile.
struct TileCall {
    const float* a;            ///< (rows, k_block), decoded; `depth` numbers of a row are used
    const float* b;            ///< (depth, tile_columns), decoded
    std::int64_t rows;         ///< ≥ 1
    std::int64_t depth;        ///< 1 … k_block
    void* c;                   ///< (rows, tile_columns), f32 or int32
    const RowFactor* factors;  ///< (rows), for add_scaled
    Combine combine;
    const std::uint8_t*
        next;  ///< of the first panel, as packed: what is decoded next, asked for from memory on the way
    std::int64_t next_stride;  ///< bytes to the next panel's
    std::int64_t next_step;    ///< bytes for each k
};

/// Sums of a few rows with packed panels, decoded in registers.
struct PanelCall {
    const float* a;     ///< (rows, k_block), decoded; 0 from `depth` to the end of the last line
    std::int64_t rows;  ///< 1 … direct_rows of the format
    std::int64_t depth;
    PanelGroup weights;
    void* c;              ///< tiles of (rows, tile_columns)
    std::int64_t c_tile;  ///< elements from tile to tile
    const RowFactor* factors;
    Combine combine;
};

/// Sums of rows of int8 with packed panels of int8. C += P, int32.
struct Int8Call {
    const std::uint8_t* a;     ///< (rows, int8_k_block), as Int8Kernels say
    std::int64_t rows;         ///< ≥ 1
    std::int64_t lines;        ///< 1 … int8_k_block / 4
    PanelGroup weights;        ///< 0 from K's end to the end of the last line
    std::int64_t next;         ///< bytes from a line to the one that is wanted next in its place, or 0
    std::int32_t* c;           ///< tiles of (rows, tile_columns), as the f32 kernels beside it have them
    std::int64_t c_tile;       ///< elements from tile to tile
    std::int64_t times_asked;  ///< WeightReading's
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
/// Decodes one packed panel of a K block.
/// \param[out] out (depth, stride) floats, of which the first sixteen of each k are written; up to the end of the last
/// line
using DecodePanel = void (*)(const std::uint8_t* elements, const std::uint8_t* scales, std::int64_t depth, float* out,
                             std::int64_t stride);

/// One instruction set's kernels that multiply in f32.
struct FloatKernels {
    std::int64_t tile_columns;                      ///< 16 or 32
    DecodeRow decode_row[element_count];            ///< by Element
    DecodePanel decode_panel[weight_format_count];  ///< by WeightFormat
    /// By WeightFormat: up to how many rows decoding in registers beats a decoded tile, and the function that does so.
    std::int64_t direct_rows[weight_format_count];
    void (*panel_sums[weight_format_count])(const PanelCall&);
    void (*tile_sums)(const TileCall&);
    void (*finish_row)(const FinishCall&);
};

/// Decodes `count` (1 … k_block) consecutive elements of a row to bf16, or to f32 (MatrixKernels::a_bytes), scales
/// multiplied in, which is exact as long as the results are normal numbers of bf16.
/// \param order in which k of a line of W's meet: see PairOrder
/// \param stride bytes from 32 numbers to the next 32: they are lines of a row, or of tiles
/// \param[out] out k_block numbers; zeros follow the first `count` to the end of a step of 64
enum class PairOrder : std::uint8_t {
    consecutive,  ///< k, k+1
    of_e2m1,      ///< within eight: 0, 4, 1, 5, 2, 6, 3, 7, as the nibbles of e2m1 come out
};
using DecodeRowBf16 = void (*)(const std::uint8_t* elements, std::int64_t count, const float* scales, int group_shift,
                               PairOrder order, std::int64_t stride, std::uint8_t* out);
/// ue8m0 codes with which elements and their products stay far from the ends of bf16: tiles take subnormal numbers and
/// results for zero.
inline constexpr std::uint8_t first_tile_scale = 127 - 50;
inline constexpr std::uint8_t last_tile_scale = 127 + 50;

/// Decodes one packed panel of a K block to lines of bf16, or of f32 (MatrixKernels::w_line_bytes), e2m1 in pairs of
/// `PairOrder::of_e2m1`. A line of f32 is sixteen numbers of the even k and sixteen of the odd k of one of bf16.
/// \param ahead how many bytes further on lines are asked for from memory
/// \return whether all scales are of tiles; the columns of others get numbers without meaning
using DecodePanelBf16 = bool (*)(const std::uint8_t* elements, const std::uint8_t* scales, std::int64_t depth,
                                 std::int64_t ahead, std::uint8_t* lines);

struct Bf16Decoders {
    DecodeRowBf16 row[element_count];            ///< by Element; none for int8
    DecodePanelBf16 panel[weight_format_count];  ///< by WeightFormat; none for what tiles take as packed
};

/// Bytes of a K block of a panel in lines of bf16.
inline constexpr std::int64_t decoded_block_bytes = k_block * panel_columns * 2;

/// Rows of a tile, and lines: a tile of W is 16 lines of a panel.
inline constexpr std::int64_t matrix_tile = 16;

/// Rows of A as tiles take them: K blocks of (16 · row_tiles) rows of bf16 (f32: MatrixKernels::a_bytes) or int8, 64 ·
/// depth_tiles bytes each, row by row or tile by tile.
struct TileRows {
    const std::uint8_t* data;
    std::int64_t stride;     ///< bytes from row to row
    std::int64_t depth;      ///< bytes from 64 bytes of a row to the next
    std::int64_t tile;       ///< bytes from row tile to row tile
    std::int64_t block;      ///< bytes from K block to K block
    std::int64_t row_tiles;  ///< ≥ 1
};

/// How sums begin.
enum class Start : std::uint8_t { from_zero, from_c };

/// Runs of memory lines.
struct LineRuns {
    const std::uint8_t* first;
    std::int64_t stride;  ///< bytes from run to run
    std::int64_t runs;
    std::int64_t lines;  ///< of a run
};

/// Some rows of A times some K blocks of two panels, in tiles of 16 rows of 64 bytes.
struct MatrixCall {
    TileRows a;
    const std::uint8_t* b;     ///< the first panel's 16 · depth_tiles lines; what is past K's end is 0 here or in A
    std::int64_t b_stride;     ///< bytes to the second panel's
    std::int64_t b_block;      ///< bytes from K block to K block
    std::int64_t depth_tiles;  ///< of a K block, ≥ 1
    std::int64_t blocks;       ///< ≥ 1
    void* c;                   ///< (16 · row_tiles, 32), f32 or int32
    Start start;               ///< from_zero: C is written, not read
    std::int64_t rows;         ///< that exist, for factors
    const RowFactor* factors;  ///< (blocks, rows)
    std::int64_t times_asked;  ///< WeightReading's
    LineRuns next[2];          ///< what is wanted next, of W and of A, asked for from memory on the way
    std::int64_t next_c;       ///< lines of C that are asked for, from those of the second pair of row tiles on
};

/// Row tiles that one pass over K's weights can sum up without leaving the tiles.
inline constexpr std::int64_t most_stream_tiles = 3;

/// Few rows of A times whole K blocks of some packed panels, C in tiles from the first to the last.
struct StreamCall {
    TileRows a;                ///< row_tiles ≤ most_stream_tiles
    PanelGroup weights;        ///< of the first K block; of more than a tile's rows two panels
    std::int64_t block_bytes;  ///< from K block to K block
    std::int64_t blocks;       ///< ≥ 1
    std::int64_t depth_tiles;  ///< of a K block; a multiple of 4
    DecodePanelBf16 decode;    ///< null where tiles take lines as packed
    WeightFormat format;
    std::uint8_t* lines;       ///< room for two K blocks of four panels, decoded
    void* c;                   ///< tiles of (16 · row_tiles, 32), f32 or int32
    std::int64_t c_tile;       ///< elements from tile to tile
    std::int64_t rows;         ///< that exist, for factors
    const RowFactor* factors;  ///< (blocks, rows)
    std::int64_t times_asked;  ///< WeightReading's
};

/// One instruction set's kernels that multiply tiles, or vectors as if they were rows of tiles.
struct MatrixKernels {
    const char* unit;           ///< what multiplies
    bool a_by_tiles;            ///< whether A lies tile by tile, not row by row
    std::int64_t w_line_bytes;  ///< of lines that are decoded: 64, bf16, or 128, f32
    std::int64_t deep_blocks;   ///< K blocks of what is not int8 that many rows take at a time
    std::int64_t a_bytes;       ///< of a number of A that is not int8: 2, as bf16, or 4, as f32; tile by tile 2
    /// By WeightFormat: rows of an expert up to which f32 vectors multiply them. Bits of y may differ between the two
    /// ways, but for int8.
    std::int64_t vector_rows[weight_format_count];
    /// Few rows up to which four panels are read side by side, of weights as packed and of such as are decoded; of more
    /// rows two are.
    std::int64_t rows_of_four_packed;
    std::int64_t rows_of_four_decoded;
    std::int64_t rows_of_task;                    ///< at most; a multiple of matrix_tile
    std::int64_t resident_bytes;                  ///< of A, which stay in a second-level cache beside W and C
    void (*begin)();                              ///< before a thread's first product of a call
    void (*end)();                                ///< after its last
    void (*int8_sums)(const MatrixCall&);         ///< C += P; null, as is int8_stream: int8 is multiplied without tiles
    void (*bf16_sums)(const MatrixCall&);         ///< C += P, added to C product by product
    void (*bf16_scaled_sums)(const MatrixCall&);  ///< C += P · mantissa · power
    /// The same for few rows. \return how many K blocks are in C: the next one has scales that are not of tiles
    std::int64_t (*int8_stream)(const StreamCall&);
    std::int64_t (*bf16_stream)(const StreamCall&);
    std::int64_t (*bf16_scaled_stream)(const StreamCall&);
};

/// One instruction set's products of int8.
struct Int8Kernels {
    void (*sums)(const Int8Call&);
    void (*take_off)(const Int8Call&);  ///< C -= 128 · the sums of W's columns; null where A comes as it is
    std::int64_t a_bytes;  ///< of a number of A: 1, plus 128, or 2, as int16 and of four k in the order 0, 2, 1, 3
};

/// How weights come fastest from memory.
struct WeightReading {
    std::int64_t int8_panels;  ///< that few rows of int8 meet side by side
    std::int64_t times_asked;  ///< in so many steps of rows, one after the other, a line that comes next is asked for
};

/// What a machine's fastest instructions for each kind of product are.
struct KernelFamily {
    const char* name;
    const FloatKernels* f32;
    const Int8Kernels* int8;  ///< null: int8 is multiplied in f32
    WeightReading reading;
    const MatrixKernels* matrix;  ///< null: there are no tiles; else f32's tile_columns are 32
    const Bf16Decoders* bf16;     ///< what tiles are filled with; null without them
};

}  // namespace moegemm::cpu
