/// \file
/// What a launch of a grouped GEMM gets from the host.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace moegemm::hopper {

/// Element of y.
enum class Dst : std::int32_t { bf16, f16, f32 };

/// By which a launch's CTAs share out what there is to do (tile_queue.cuh), in the call's workspace: whatever it holds
/// before.
struct ItemCounter {
    std::uint64_t opened;  ///< the ticket of the launch that the rest belongs to; 0 where it has ended
    std::uint32_t next;    ///< the item that is handed out next
    std::uint32_t ended;   ///< CTAs for which none was left
};

/// Numbers and addresses of one call. Of the scales, those are null that the variant does not have.
struct Call {
    const std::int32_t* m_indptr;  ///< (E + 1)
    int experts;
    int rows;     ///< R, of A and y
    int columns;  ///< N
    int depth;    ///< bytes of a row of A and W
    void* y;      ///< (R, N)
    Dst dst;
    bool y_map;              ///< whether Maps::y describes y: elements of 2 bytes, rows of a multiple of 16
    bool paired;             ///< whether two neighbouring elements of y, from an even column on, may be written as one
    bool weights_first_out;  ///< whether weights are the first to leave the L2
    int early_chunks;        ///< of 128 bytes of K, of the weights that a CTA asks for before it knows its first tile
    bool a_chunks;           ///< decoded weights: whether one copy brings all of a stage's chunks of A

    ItemCounter* counter;
    std::uint64_t ticket;  ///< of this launch alone

    const float* alpha;          ///< (1)
    const float* token_scale;    ///< (R)
    const float* channel_scale;  ///< (E, N)

    // fp8_block: factors of row i (of columns n) and of block kb of 128 along K, in either layout.
    const float* a_block_scale;
    const float* w_block_scale;
    std::int64_t a_scale_row;  ///< strides in elements
    std::int64_t a_scale_block;
    std::int64_t w_scale_expert;
    std::int64_t w_scale_column;  ///< of the next 128 columns
    std::int64_t w_scale_block;
};

/// Tensor maps: A (R, K), W (E, N, K), y (R, N). One copy brings what a whole tile needs of A or W for a chunk of K:
/// several small copies cost up to a tenth of the speed. Tiles that are smaller have maps of their own.
struct Maps {
    CUtensorMap a;
    CUtensorMap a_part;
    CUtensorMap w;
    CUtensorMap w_part;
    CUtensorMap y;
};

}  // namespace moegemm::hopper
