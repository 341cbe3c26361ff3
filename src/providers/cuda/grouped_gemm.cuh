/// \file
/// The grouped GEMM kernel of provider `cuda`: y = tokens · weightsᵀ, expert by expert, with mma.sync.
///
/// Weights take the 16 rows of mma.sync, tokens its 8 columns, so that few tokens waste little. A thread block walks
/// over tiles of y (tile_walk.hpp); of each it sums over all of K, in ascending order and in one f32 (int8: s32)
/// accumulator an element, so that a result's bits depend on no other row and on no tile shape:
///
///          K →                             tokens
///     ┌──────────────┐                   ┌─────────┐
///     │ weights      │  ×  (tokens, K)ᵀ =│ warp 0 1│  weights
///     │ rows of W[e] │                   │ warp 2 3│  ↓
///     └──────────────┘                   └─────────┘   y is stored transposed, (tokens, N)
///
/// A ring of 2 … 6 stages in shared memory (stage_plan.hpp) is filled by cp.async, or by plain loads where rows are not
/// aligned. Operands stay encoded there; a warp decodes what it has loaded into registers (recipe.cuh). Scales are
/// fetched into registers while a stage is computed, and staged, decoded, behind it.
///
/// Nothing but m_indptr says which rows there are, and whatever it holds, no access leaves the tensors.
#pragma once

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "providers/cuda/call.hpp"
#include "providers/cuda/recipe.cuh"
#include "providers/cuda/stage_plan.hpp"
#include "providers/cuda/tile_walk.hpp"

namespace moegemm::cuda {

inline constexpr unsigned whole_warp = 0xFFFFFFFFU;

/// A tile of y.
struct TileOfY {
    std::int64_t expert;
    std::int64_t expert_row;  ///< the first row of the expert
    std::int64_t row;         ///< the first row of the tile
    std::int64_t n;           ///< its first column
    int tokens;               ///< rows that exist
    int weights;              ///< columns that exist
};

/// Finds tiles from m_indptr, for indices that ascend. Every warp of the block does the same, 32 experts at a time.
template <class Tile>
class TileWalk {
public:
    /// \return false behind the last tile
    __device__ bool find(const Call& call, std::int64_t index, TileOfY& tile) {
        const int lane = static_cast<int>(threadIdx.x % 32);
        const std::int64_t weight_tiles = (call.n + Tile::weights - 1) / Tile::weights;
        const std::int64_t wanted = index / weight_tiles;  // tiles of tokens before it, of all experts
        for (; first_expert_ < call.experts; first_expert_ += 32) {
            ExpertRows mine{0, 0};
            if (first_expert_ + lane < call.experts) {
                const std::int32_t* const offsets = call.m_indptr + first_expert_ + lane;
                mine = ExpertRows::clamped(offsets[0], offsets[1], call.rows);
            }
            std::int64_t through = mine.tiles(Tile::tokens);  // tiles of tokens of first_expert_ … this lane's expert
#pragma unroll
            for (int step = 1; step < 32; step *= 2) {
                const std::int64_t below = __shfl_up_sync(whole_warp, through, step);
                through += lane >= step ? below : 0;
            }
            const unsigned behind = __ballot_sync(whole_warp, wanted < before_ + through);
            if (behind == 0) {
                before_ += __shfl_sync(whole_warp, through, 31);
                continue;
            }
            const int owner = __ffs(static_cast<int>(behind)) - 1;
            const ExpertRows expert{__shfl_sync(whole_warp, mine.begin, owner),
                                    __shfl_sync(whole_warp, mine.count, owner)};
            const std::int64_t tiles = expert.tiles(Tile::tokens);
            const std::int64_t first = before_ + __shfl_sync(whole_warp, through, owner) - tiles;
            const TilePlace place = place_of(index - first * weight_tiles, tiles, weight_tiles);
            tile.expert = first_expert_ + owner;
            tile.expert_row = expert.begin;
            tile.row = expert.begin + place.token_tile * Tile::tokens;
            tile.n = place.weight_tile * Tile::weights;
            tile.tokens = static_cast<int>(min(std::int64_t{Tile::tokens}, expert.begin + expert.count - tile.row));
            tile.weights = static_cast<int>(min(std::int64_t{Tile::weights}, call.n - tile.n));
            return true;
        }
        return false;
    }

private:
    std::int64_t first_expert_ = 0;
    std::int64_t before_ = 0;  ///< tiles of tokens of the experts before first_expert_
};

/// Copies rows of an operand into a stage, 16-byte chunk by chunk; a thread's chunks lie at one place of every row.
/// \tparam RowBytes of a stage's row  \tparam Rows of a tile
template <int RowBytes, int Rows, int Threads>
class RowCopy {
public:
    /// \param first_row of the tile
    /// \param rows that exist
    __device__ RowCopy(const RowOperand& operand, std::int64_t first_row, int rows)
        : tile_(operand.data + first_row * operand.row_bytes),
          row_bytes_(operand.row_bytes),
          copy_bytes_(operand.copy_bytes),
          rows_(rows) {}

    static constexpr int chunks_a_row = RowBytes / chunk_bytes;
    static constexpr int rows_at_once = Threads / chunks_a_row;
    static constexpr int parts = (Rows + rows_at_once - 1) / rows_at_once;  ///< chunks of a thread
    static_assert(rows_at_once % 8 == 0, "a thread's chunks have the same place in groups of 8 rows");
    static_assert(Rows % rows_at_once == 0 || Rows < rows_at_once);

    /// Whether 16 bytes can be copied at once: then by a Cursor, else by copy_unaligned.
    [[nodiscard]] __device__ bool aligned() const { return copy_bytes_ == chunk_bytes; }

    /// Where the next of a thread's chunks comes from and goes to.
    struct Cursor {
        const std::uint8_t* from;
        std::uint32_t to;
        int rows;  ///< that exist from its row on
    };
    [[nodiscard]] __device__ Cursor start(int stage, unsigned char* to) const {
        const std::int64_t byte = std::int64_t{stage} * RowBytes + chunk_ * chunk_bytes;
        return {tile_ + row_ * row_bytes_ + byte, ptx::shared_address(to + chunk_offset(RowBytes, row_, chunk_)),
                byte < row_bytes_ ? rows_ - row_ : 0};
    }
    __device__ void copy_next(Cursor& cursor) const {
        if (Rows >= rows_at_once || row_ < Rows) {
            ptx::cp_async_16(cursor.to, cursor.from, cursor.rows > 0);
        }
        cursor.from += rows_at_once * row_bytes_;
        cursor.to += rows_at_once * RowBytes;
        cursor.rows -= rows_at_once;
    }

    __device__ void copy_unaligned(int stage, unsigned char* to) const {
        const std::int64_t byte = std::int64_t{stage} * RowBytes + chunk_ * chunk_bytes;
        const auto left = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{chunk_bytes}, row_bytes_ - byte)));
        const std::uint8_t* const from = tile_ + (left > 0 ? byte : 0);
#pragma unroll 1
        for (int row = row_; row < Rows; row += rows_at_once) {
            unsigned char* const chunk = to + chunk_offset(RowBytes, row, chunk_);
            const int valid = row < rows_ ? left : 0;
            if (copy_bytes_ == 4) {
                copy_words(chunk, from + row * row_bytes_, valid);
            } else {
                copy_bytes(chunk, from + row * row_bytes_, valid);
            }
        }
    }

private:
    __device__ void copy_words(unsigned char* chunk, const std::uint8_t* from, int valid) const {
#pragma unroll
        for (int i = 0; i < chunk_bytes; i += 4) {
            const int here = max(0, min(4, valid - i));
            ptx::cp_async_4(ptx::shared_address(chunk + i), here > 0 ? from + i : tile_, here);
        }
    }

    __device__ static void copy_bytes(unsigned char* chunk, const std::uint8_t* from, int valid) {
        std::uint32_t words[4] = {};
#pragma unroll
        for (int i = 0; i < chunk_bytes; ++i) {
            words[i / 4] |= i < valid ? static_cast<std::uint32_t>(from[i]) << (8 * (i % 4)) : 0U;
        }
        *reinterpret_cast<uint4*>(chunk) = make_uint4(words[0], words[1], words[2], words[3]);
    }

    const std::uint8_t* tile_;
    std::int64_t row_bytes_;
    int copy_bytes_;
    int rows_;
    int row_ = static_cast<int>(threadIdx.x) / chunks_a_row;
    int chunk_ = static_cast<int>(threadIdx.x) % chunks_a_row;
};

/// Fetches one row's scales of a stage, and stages them.
/// \tparam R the recipe  \tparam Count scales of a row in a stage
template <class R, int Count>
class ScaleCopy {
public:
    static constexpr int columns_a_unit = R::scale_code == ScaleCode::f32 ? 1 : 4;  ///< that lie side by side
    static constexpr int words = (Count + columns_a_unit - 1) / columns_a_unit;
    struct Fetched {
        std::uint32_t word[words];
    };

    /// \param row    of the thread, or none where the tile has no such row
    /// \param offset the place, in scales, of a column of that row
    template <class Offset>
    __device__ ScaleCopy(const ScaleOperand& scales, std::int64_t columns, bool row, Offset offset)
        : columns_(row ? columns : 0), in_words_(scales.in_words) {
        constexpr std::int64_t bytes = R::scale_code == ScaleCode::f32 ? 4 : 1;
        if (row) {
            const std::int64_t first = offset(0);
            row_ = scales.data + first * bytes;
            stride_ = (offset(columns_a_unit) - first) * bytes;
        }
    }

    [[nodiscard]] __device__ Fetched fetch(int stage) const {
        Fetched fetched{};
        const std::int64_t column = std::int64_t{stage} * Count;
        if constexpr (R::scale_code == ScaleCode::f32) {
            if (column < columns_) {
                fetched.word[0] = __ldg(reinterpret_cast<const unsigned*>(row_ + column * stride_));
            }
        } else {
#pragma unroll
            for (int w = 0; w < words; ++w) {
                const std::int64_t first = column + 4 * w;
                const std::uint8_t* const unit = row_ + first / 4 * stride_;
                if (Count % 4 == 0 && in_words_) {
                    fetched.word[w] = first < columns_ ? __ldg(reinterpret_cast<const unsigned*>(unit)) : 0U;
                } else if (Count == 2 && in_words_) {  // half of a word
                    const auto* const half = reinterpret_cast<const unsigned short*>(unit + first % 4);
                    fetched.word[w] = first < columns_ ? __ldg(half) : 0U;
                } else {
#pragma unroll
                    for (int i = 0; i < 4 && i < Count; ++i) {
                        fetched.word[w] |=
                            first + i < columns_ ? static_cast<unsigned>(__ldg(unit + first % 4 + i)) << (8 * i) : 0U;
                    }
                }
            }
        }
        return fetched;
    }

    __device__ void store(const Fetched& fetched, int stage, unsigned char* scales, int row) const {
        constexpr int scales_a_word = 4 / static_cast<int>(sizeof(typename R::StagedScale));
        constexpr int staged_words = Count / scales_a_word;
        std::uint32_t staged[staged_words] = {};
#pragma unroll
        for (int i = 0; i < Count; ++i) {
            const std::uint32_t code =
                R::scale_code == ScaleCode::f32 ? fetched.word[i] : (fetched.word[i / 4] >> (8 * (i % 4))) & 0xFFU;
            const std::uint32_t bits = staged_scale<R>(code);
            staged[i / scales_a_word] |=
                std::int64_t{stage} * Count + i < columns_ ? bits << (16 * (i % scales_a_word)) : 0U;
        }
        auto* const to = reinterpret_cast<std::uint32_t*>(scales) + row * staged_words;
        if constexpr (staged_words == 4) {
            *reinterpret_cast<uint4*>(to) = make_uint4(staged[0], staged[1], staged[2], staged[3]);
        } else if constexpr (staged_words == 2) {
            *reinterpret_cast<uint2*>(to) = make_uint2(staged[0], staged[1]);
        } else {
            static_assert(staged_words == 1);
            *to = staged[0];
        }
    }

private:
    const std::uint8_t* row_ = nullptr;
    std::int64_t stride_ = 0;  ///< in bytes, from one unit of columns to the next
    std::int64_t columns_;
    bool in_words_;
};

/// One or two neighbouring numbers of y, rounded once, to nearest even.
__device__ inline void store_number(const Call& call, std::int64_t index, float value) {
    if (call.dst == DType::bf16) {
        static_cast<__nv_bfloat16*>(call.y)[index] = __float2bfloat16_rn(value);
    } else if (call.dst == DType::f16) {
        static_cast<__half*>(call.y)[index] = __float2half_rn(value);
    } else {
        static_cast<float*>(call.y)[index] = value;
    }
}
__device__ inline void store_pair(const Call& call, std::int64_t index, float first, float second) {
    if (call.dst == DType::bf16) {
        *reinterpret_cast<__nv_bfloat162*>(static_cast<__nv_bfloat16*>(call.y) + index) =
            __floats2bfloat162_rn(first, second);
    } else if (call.dst == DType::f16) {
        *reinterpret_cast<__half2*>(static_cast<__half*>(call.y) + index) = __floats2half2_rn(first, second);
    } else {
        *reinterpret_cast<float2*>(static_cast<float*>(call.y) + index) = make_float2(first, second);
    }
}

/// A warp's share of a tile: its accumulators, the multiplications of a stage, and its part of y.
template <class R, class Tile>
class WarpTile {
public:
    using Plan = StagePlan<R, Tile>;
    using Sum = typename R::Sum;

    __device__ explicit WarpTile(const Call& call)
        : weights_are_e5m2_(call.weights.is_e5m2), tokens_are_e5m2_(call.tokens.is_e5m2) {}

    /// Adds a stage's products.
    /// \param between is called after each of `slots` pieces of work, with its number
    template <class Between>
    __device__ void multiply(const unsigned char* stage, const Between& between) {
        if constexpr (R::scale_at != ScaleAt::sums) {
#pragma unroll(unrolled_steps)
            for (int step = 0; step < Plan::steps; ++step) {
                TokenFragment token[token_parts];
                load_tokens(stage, step, token);
#pragma unroll
                for (int i = 0; i < weight_parts; ++i) {
                    multiply_part(stage, i, step, token, sum_[i]);
                    between(step * weight_parts + i);
                }
            }
        } else if constexpr (R::group == step_depth) {
#pragma unroll(unrolled_groups)
            for (int step = 0; step < Plan::steps; ++step) {
                const GroupScales scales = load_group_scales(stage, step);
                TokenFragment token[token_parts];
                load_tokens(stage, step, token);
#pragma unroll
                for (int i = 0; i < weight_parts; ++i) {
                    Sum part[token_parts][4] = {};
                    multiply_part(stage, i, step, token, part);
                    add_scaled(part, scales, i);
                    between(step * weight_parts + i);
                }
            }
        } else {
#pragma unroll 1
            for (int group = 0; group < Plan::scales_a_row; ++group) {
                constexpr int steps_a_group = R::group / step_depth;
                Sum part[weight_parts][token_parts][4] = {};
#pragma unroll(unrolled_groups)
                for (int step = group * steps_a_group; step < (group + 1) * steps_a_group; ++step) {
                    TokenFragment token[token_parts];
                    load_tokens(stage, step, token);
#pragma unroll
                    for (int i = 0; i < weight_parts; ++i) {
                        multiply_part(stage, i, step, token, part[i]);
                        between(step * weight_parts + i);
                    }
                }
                const GroupScales scales = load_group_scales(stage, group);
#pragma unroll
                for (int i = 0; i < weight_parts; ++i) {
                    add_scaled(part[i], scales, i);
                }
            }
        }
    }

    /// Scales what the whole of K gave and writes the tile's existing elements, eight tokens at a time: through shared
    /// memory, so that a warp writes neighbours of a row of y.
    /// \param scratch of the warp, `scratch_bytes`
    __device__ void store(const Call& call, const TileOfY& tile, unsigned char* scratch) const {
        auto* const sums = reinterpret_cast<float*>(scratch);  // (8 tokens, scratch_row)
        const float alpha = call.alpha == nullptr ? 1.0F : call.alpha[call.alpha_of_expert ? tile.expert : 0];
#pragma unroll
        for (int j = 0; j < token_parts; ++j) {
            __syncwarp();
#pragma unroll
            for (int i = 0; i < weight_parts; ++i) {
#pragma unroll
                for (int d = 0; d < 4; ++d) {
                    sums[(2 * c_ + d % 2) * scratch_row + 16 * i + 8 * (d / 2) + g_] =
                        static_cast<float>(sum_[i][j][d]);
                }
            }
            __syncwarp();
            store_tokens(call, tile, sums, first_token_ + 8 * j, alpha);
        }
    }
    static constexpr int slots = Plan::steps * (Tile::warp_weights / 16);

    static constexpr int scratch_row = Tile::warp_weights + 4;  ///< 4: lanes write to 32 banks
    static constexpr int scratch_bytes = 8 * scratch_row * static_cast<int>(sizeof(float));
    static_assert(Tile::threads / 32 * scratch_bytes <= fewest_stages * Plan::bytes, "the ring holds it");

private:
    static constexpr int weight_parts = Tile::warp_weights / 16;
    static constexpr int token_parts = Tile::warp_tokens / 8;
    static constexpr int registers = R::Multiply::registers;
    /// Fragments of the next step load while this one multiplies; where values are scaled, compile time counts more.
    static constexpr int unrolled_steps = R::scale_at == ScaleAt::nowhere || Tile::tokens <= 16 ? 2 : 1;
    static constexpr int unrolled_groups = Tile::tokens <= 16 || R::group > step_depth ? 2 : 1;
    using Registers = std::uint32_t[registers];

    [[nodiscard]] __device__ int token_of(int part, int half) const { return first_token_ + 8 * part + 2 * c_ + half; }

    /// Scales and writes eight tokens' sums, two neighbouring weights a lane at a time.
    __device__ void store_tokens(const Call& call, const TileOfY& tile, const float* sums, int first_token,
                                 float alpha) const {
        constexpr int lanes_a_token = Tile::warp_weights / 2;
        const int lane = 4 * g_ + c_;
        const int weight = first_weight_ + 2 * (lane % lanes_a_token);
        const bool has_first = weight < tile.weights;
        const bool has_second = weight + 1 < tile.weights;
        const std::int64_t n = tile.n + weight;
        float first_factor = alpha;
        float second_factor = alpha;
        if (call.channel_factor != nullptr) {
            first_factor = has_first ? call.channel_factor[tile.expert * call.n + n] : 0.0F;
            second_factor = has_second ? call.channel_factor[tile.expert * call.n + n + 1] : 0.0F;
        }
#pragma unroll 1
        for (int i = lane / lanes_a_token; i < 8; i += 32 / lanes_a_token) {
            const int token = first_token + i;
            if (token >= tile.tokens || !has_first) {
                continue;
            }
            const float* const two = sums + i * scratch_row + 2 * (lane % lanes_a_token);
            const float factor = call.token_factor != nullptr ? call.token_factor[tile.row + token] : call.factor;
            const float first = two[0] * factor * first_factor;
            const float second = two[1] * factor * second_factor;
            const std::int64_t index = (tile.row + token) * call.n + n;
            if (call.stores_pairs) {
                store_pair(call, index, first, second);  // N is even: the second exists
            } else {
                store_number(call, index, first);
                if (has_second) {
                    store_number(call, index + 1, second);
                }
            }
        }
    }

    /// Eight values of a row, decoded.
    template <class Element, int RowBytes>
    __device__ void load(const unsigned char* rows, int first_row, int step, bool is_e5m2, Registers& out) const {
        // Rows of a fragment begin at multiples of 8, so that what depends on the lane is the same for all of them.
        const int offset = first_row * RowBytes + fragment_offset(RowBytes, Element::bits, g_, step, c_);
        using Load = typename Stored<Element::bits>::Load;
        Element::template decode<R::math, R::pairs>(*reinterpret_cast<const Load*>(rows + offset), is_e5m2, out);
    }

    /// Multiplies a lane's eight values by their scale.
    __device__ void scale(const unsigned char* scales, int row, int step, Registers& values) const {
        const int column = step * step_depth / R::group + 8 * c_ / R::group;
        const std::uint32_t one = reinterpret_cast<const std::uint16_t*>(scales)[row * Plan::scales_a_row + column];
        const std::uint32_t both = __byte_perm(one, one, 0x1010);
#pragma unroll
        for (int i = 0; i < registers; ++i) {
            values[i] = ptx::mul_bf16x2(values[i], both);
        }
    }

    using WeightFragment = std::uint32_t[registers / 2][4];  ///< 16 rows, a multiplication's registers side by side
    using TokenFragment = std::uint32_t[registers];          ///< 8 rows

    /// 16 rows of weights by 32 k.
    __device__ void load_weights(const unsigned char* stage, int first_row, int step, WeightFragment& out) const {
        if constexpr (R::decodes) {
#pragma unroll
            for (int upper = 0; upper < 2; ++upper) {
                const int row = first_row + 8 * upper;
                Registers values;
                load<typename R::Weight, Plan::weight_row_bytes>(stage, row, step, weights_are_e5m2_, values);
                if constexpr (R::scale_at == ScaleAt::operands) {
                    scale(stage + Plan::weight_scales_at, row + g_, step, values);
                }
#pragma unroll
                for (int r = 0; r < registers; ++r) {
                    out[r / 2][upper + 2 * (r % 2)] = values[r];
                }
            }
        } else {
            // Matrices of 8 rows × 16 bytes: upper and lower rows of a chunk, then of the next.
            const int lane = 4 * g_ + c_;
#pragma unroll
            for (int m = 0; m < registers / 2; ++m) {
                const int chunk = step * registers + 2 * m + lane / 16;
                ptx::ldmatrix_x4(out[m], ptx::shared_address(stage + first_row * Plan::weight_row_bytes +
                                                             chunk_offset(Plan::weight_row_bytes, lane % 16, chunk)));
            }
        }
    }

    /// 8 rows of tokens by 32 k, of all parts.
    __device__ void load_tokens(const unsigned char* stage, int step, TokenFragment (&out)[token_parts]) const {
        const unsigned char* const rows = stage + Plan::tokens_at;
        if constexpr (R::decodes) {
#pragma unroll
            for (int j = 0; j < token_parts; ++j) {
                const int row = first_token_ + 8 * j;
                load<typename R::Token, Plan::token_row_bytes>(rows, row, step, tokens_are_e5m2_, out[j]);
                if constexpr (R::scale_at == ScaleAt::operands && R::tokens_scaled) {
                    scale(stage + Plan::token_scales_at, row + g_, step, out[j]);
                }
            }
        } else {
            // Matrices of 8 rows × 16 bytes: all chunks of 8 rows, then, where there are two chunks only, of 8 more.
            const int lane = 4 * g_ + c_;
            const int row = lane / 8 / registers * 8 + lane % 8;
            const int chunk = step * registers + lane / 8 % registers;
            constexpr int parts_at_once = 4 / registers;
            static_assert(token_parts % parts_at_once == 0);
#pragma unroll
            for (int j = 0; j < token_parts; j += parts_at_once) {
                std::uint32_t matrices[4];
                ptx::ldmatrix_x4(matrices, ptx::shared_address(rows + (first_token_ + 8 * j) * Plan::token_row_bytes +
                                                               chunk_offset(Plan::token_row_bytes, row, chunk)));
#pragma unroll
                for (int m = 0; m < 4; ++m) {
                    out[j + m / registers][m % registers] = matrices[m];
                }
            }
        }
    }

    /// Adds the products of 16 rows of weights and all tokens, of 32 k.
    __device__ void multiply_part(const unsigned char* stage, int part, int step,
                                  const TokenFragment (&token)[token_parts], Sum (&sum)[token_parts][4]) const {
        WeightFragment weight;
        load_weights(stage, first_weight_ + 16 * part, step, weight);
#pragma unroll
        for (int m = 0; m < registers / 2; ++m) {
#pragma unroll
            for (int j = 0; j < token_parts; ++j) {
                R::Multiply::add(sum[j], weight[m][0], weight[m][1], weight[m][2], weight[m][3], token[j][2 * m],
                                 token[j][2 * m + 1]);
            }
        }
    }

    /// The scales of a group, of all weights and tokens of the lane's sums.
    struct GroupScales {
        float weight[weight_parts][2];
        float token[token_parts][2];
        bool moderate;  ///< whether a sum of products times a weight's scale keeps within f32, in all lanes
    };
    [[nodiscard]] __device__ GroupScales load_group_scales(const unsigned char* stage, int group) const {
        const auto* const weights = reinterpret_cast<const float*>(stage + Plan::weight_scales_at) + group;
        const auto* const tokens = reinterpret_cast<const float*>(stage + Plan::token_scales_at) + group;
        GroupScales scales;
        std::uint32_t distance = 0;
#pragma unroll
        for (int i = 0; i < weight_parts; ++i) {
#pragma unroll
            for (int upper = 0; upper < 2; ++upper) {
                scales.weight[i][upper] = weights[(first_weight_ + 16 * i + 8 * upper + g_) * Plan::scales_a_row];
                distance = max(distance, distance_of(scales.weight[i][upper]));
            }
        }
#pragma unroll
        for (int j = 0; j < token_parts; ++j) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                scales.token[j][half] = tokens[token_of(j, half) * Plan::scales_a_row];
            }
        }
        scales.moderate = __all_sync(whole_warp, distance <= moderate_distance ? 1 : 0) != 0;
        return scales;
    }

    /// Adds a group's sums of 16 rows of weights, times the scales of their weight and their token.
    __device__ void add_scaled(const float (&part)[token_parts][4], const GroupScales& scales, int i) {
        if (scales.moderate) {
#pragma unroll
            for (int j = 0; j < token_parts; ++j) {
#pragma unroll
                for (int d = 0; d < 4; ++d) {
                    sum_[i][j][d] = fmaf(part[j][d] * scales.weight[i][d / 2], scales.token[j][d % 2], sum_[i][j][d]);
                }
            }
        } else {
            const ScaleHalves weight[2] = {halves_of(scales.weight[i][0]), halves_of(scales.weight[i][1])};
#pragma unroll
            for (int j = 0; j < token_parts; ++j) {
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const ScaleHalves token = halves_of(scales.token[j][half]);
#pragma unroll
                    for (int upper = 0; upper < 2; ++upper) {
                        const int d = 2 * upper + half;
                        sum_[i][j][d] = fmaf(part[j][d] * weight[upper].first * token.first,
                                             weight[upper].second * token.second, sum_[i][j][d]);
                    }
                }
            }
        }
    }

    bool weights_are_e5m2_;
    bool tokens_are_e5m2_;
    int g_ = static_cast<int>(threadIdx.x % 32 / 4);
    int c_ = static_cast<int>(threadIdx.x % 4);
    int first_weight_ = static_cast<int>(threadIdx.x / 32) % Tile::warps_along_weights * Tile::warp_weights;
    int first_token_ = static_cast<int>(threadIdx.x / 32) / Tile::warps_along_weights * Tile::warp_tokens;
    Sum sum_[weight_parts][token_parts][4] = {};
};

/// Waits until the copies of all but the last `stages` − 2 stages have landed.
__device__ inline void wait_for_oldest(int stages) {
    static_assert(fewest_stages == 2 && most_stages == 6);
    switch (stages) {
        case 2:
            return ptx::cp_async_wait_group<0>();
        case 3:
            return ptx::cp_async_wait_group<1>();
        case 4:
            return ptx::cp_async_wait_group<2>();
        case 5:
            return ptx::cp_async_wait_group<3>();
        default:
            return ptx::cp_async_wait_group<4>();
    }
}

/// Sums a tile over K and stores it.
template <class R, class Tile>
__device__ inline void compute_tile(const Call& call, const TileOfY& tile, unsigned char* ring) {
    using Plan = StagePlan<R, Tile>;
    using Warp = WarpTile<R, Tile>;
    using Scales = ScaleCopy<R, Plan::scales_a_row == 0 ? 1 : Plan::scales_a_row>;
    constexpr bool has_scales = R::group != 0;
    const auto thread = static_cast<int>(threadIdx.x);
    const auto depth_stages = static_cast<int>((call.k + Plan::depth - 1) / Plan::depth);

    using WeightCopy = RowCopy<Plan::weight_row_bytes, Tile::weights, Tile::threads>;
    using TokenCopy = RowCopy<Plan::token_row_bytes, Tile::tokens, Tile::threads>;
    const WeightCopy weights(call.weights, tile.expert * call.n + tile.n, tile.weights);
    const TokenCopy tokens(call.tokens, tile.row, tile.tokens);
    [[maybe_unused]] const Scales weight_scales(
        call.weight_scales, call.scale_columns, has_scales && thread < tile.weights, [&](std::int64_t column) {
            const std::int64_t scale_rows = (call.n + R::rows_a_weight_scale - 1) / R::rows_a_weight_scale;
            return scales::w_scale_index(call.scale_layout, tile.expert, (tile.n + thread) / R::rows_a_weight_scale,
                                         column, scale_rows, call.scale_columns);
        });
    [[maybe_unused]] const Scales token_scales(
        call.token_scales, call.scale_columns, R::tokens_scaled && thread < tile.tokens, [&](std::int64_t column) {
            return scales::a_scale_index(call.scale_layout, tile.row + thread, column, tile.expert, tile.expert_row,
                                         call.rows, call.scale_columns);
        });

    Warp warp(call);
    int full = 0;  // the place in the ring to be computed next
    int free = 0;  // the place to be filled next
    // `next` runs ahead of the stage that is computed by all places of the ring but one.
    for (int next = 0; next < depth_stages + call.stages - 1; ++next) {
        const bool computes = next >= call.stages - 1;
        if (computes) {
            wait_for_oldest(call.stages);
            __syncthreads();  // the oldest stage is there for everyone, and nobody reads the one computed last any more
        }
        unsigned char* const to = ring + free * Plan::bytes;
        const bool copies = next < depth_stages;
        if (copies && !weights.aligned()) {
            weights.copy_unaligned(next, to);
        }
        if (copies && !tokens.aligned()) {
            tokens.copy_unaligned(next, to + Plan::tokens_at);
        }
        // Aligned rows are copied in between the multiplications, a few chunks at a time, so that neither waits.
        const bool copies_weights = copies && weights.aligned();
        const bool copies_tokens = copies && tokens.aligned();
        typename WeightCopy::Cursor weight_cursor = weights.start(next, to);
        typename TokenCopy::Cursor token_cursor = tokens.start(next, to + Plan::tokens_at);
        const auto copy_slot = [&](int slot) {
            constexpr int parts = WeightCopy::parts + TokenCopy::parts;
            constexpr int parts_a_slot = (parts + Warp::slots - 1) / Warp::slots;
#pragma unroll
            for (int i = 0; i < parts_a_slot; ++i) {
                const int part = slot * parts_a_slot + i;
                if (part < WeightCopy::parts && copies_weights) {
                    weights.copy_next(weight_cursor);
                }
                if (part >= WeightCopy::parts && part < parts && copies_tokens) {
                    tokens.copy_next(token_cursor);
                }
            }
        };
        [[maybe_unused]] typename Scales::Fetched weight{};
        [[maybe_unused]] typename Scales::Fetched token{};
        if constexpr (has_scales) {
            weight = weight_scales.fetch(next);
            token = token_scales.fetch(next);
        }
        if (computes) {
            warp.multiply(ring + full * Plan::bytes, copy_slot);
            full = full + 1 == call.stages ? 0 : full + 1;
        } else {
#pragma unroll 1
            for (int slot = 0; slot < Warp::slots; ++slot) {
                copy_slot(slot);
            }
        }
        ptx::cp_async_commit_group();  // even if empty: a wait counts groups
        if constexpr (has_scales) {
            if (thread < Tile::weights) {
                weight_scales.store(weight, next, to + Plan::weight_scales_at, thread);
            }
            if (R::tokens_scaled && thread < Tile::tokens) {
                token_scales.store(token, next, to + Plan::token_scales_at, thread);
            }
        }
        free = free + 1 == call.stages ? 0 : free + 1;
    }
    ptx::cp_async_wait_group<0>();
    __syncthreads();  // the ring is free
    warp.store(call, tile, ring + thread / 32 * Warp::scratch_bytes);
    __syncthreads();
}

template <class R, class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks_an_sm) grouped_gemm(const __grid_constant__ Call call) {
    extern __shared__ __align__(128) unsigned char ring[];
    TileWalk<Tile> walk;
    TileOfY tile;
    for (std::int64_t index = blockIdx.x; walk.find(call, index, tile); index += gridDim.x) {
        compute_tile<R, Tile>(call, tile, ring);
    }
}

}  // namespace moegemm::cuda
