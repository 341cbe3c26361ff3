/// \file
/// What a kernel of provider `cuda` gets: the tensors of one call and how they may be read.
#pragma once

#include <cstdint>

#include <moegemm/dtype.hpp>
#include <moegemm/scale_layout.hpp>

namespace moegemm::cuda {

/// A matrix whose rows a kernel copies into shared memory.
struct RowOperand {
    const std::uint8_t* data;
    std::int64_t row_bytes;
    int copy_bytes;  ///< 16 or 4 where base and rows are multiples of it (cp.async), else 1
    bool is_e5m2;    ///< read where the kernel takes either 8-bit format
};

/// Scales along K, in the layout of the call.
struct ScaleOperand {
    const std::uint8_t* data;  ///< one-byte codes, or f32 where a block is scaled
    bool in_words;             ///< whether four codes may be read as one aligned word
};

struct Call {
    RowOperand weights;
    RowOperand tokens;
    ScaleOperand weight_scales;
    ScaleOperand token_scales;
    ScaleLayout scale_layout;
    std::int64_t scale_columns;   ///< along K
    const float* token_factor;    ///< per_token_scale, or null
    const float* channel_factor;  ///< experts_scale, with it
    const float* alpha;           ///< or null
    bool alpha_of_expert;         ///< whether alpha has one value an expert
    float factor;                 ///< a power of two, exact: undoes what decoding left out
    const std::int32_t* m_indptr;
    void* y;
    DType dst;
    bool stores_pairs;  ///< whether two neighbours of a row of y, the first of an even column, are aligned together
    std::int64_t experts;
    std::int64_t rows;  ///< R
    std::int64_t n;
    std::int64_t k;
    int stages;
};

}  // namespace moegemm::cuda
