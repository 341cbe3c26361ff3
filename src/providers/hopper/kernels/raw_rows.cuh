/// \file
/// Rows of A of 4 and 8 bits, widened to bf16 by the kernel that multiplies them, beside its products.
///
/// Each is widened once, by a warp of some CTA, into the workspace; what the first tiles need, another kernel has
/// widened before. Two warps of a CTA do it, one of them when no tile is to be found. They take row after row, in the
/// order in which tiles follow each other, and count those done; the warp that loads rows of A waits until its tile's
/// are. A row that was taken is always finished, whatever else a CTA waits for, and each CTA that waits has a warp that
/// takes rows: so nothing stops for ever, whether all CTAs run at once or not, as long as the first of them has begun
/// (tile_queue.cuh).
#pragma once

#include <cstdint>

#include "providers/hopper/kernels/packed_weights.hpp"
#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/row_unit.cuh"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/kernels/widen.hpp"
#include "providers/hopper/ptx/global.cuh"
#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper {

/// Calls act.operator()<A's type, its scales' type>(), for one of those that weights of a format come with.
template <WeightFormat format, class Act>
__device__ __forceinline__ void with_row_type(DType type, const Act& act) {
    if constexpr (format == WeightFormat::e2m1_ue4m3) {
        act.template operator()<DType::e2m1x2, DType::ue4m3>();
    } else {
        if constexpr (format == WeightFormat::e2m1_ue8m0) {
            if (type == DType::e2m1x2) {
                act.template operator()<DType::e2m1x2, DType::ue8m0>();
                return;
            }
        }
        if (type == DType::e4m3) {
            act.template operator()<DType::e4m3, DType::ue8m0>();
        } else {
            act.template operator()<DType::e5m2, DType::ue8m0>();
        }
    }
}

/// Rows that a warp takes at once, and says to be done at once.
inline constexpr int rows_at_once = 8;
/// Its own copies of what it will widen: two batches of `units_at_once` units a lane.
inline constexpr int units_at_once = 4;
inline constexpr int raw_ring_bytes = 2 * units_at_once * 32 * 16;

/// Of a warp that has time: widens rows from raw.first on, batch by batch, as long as there are any.
///
/// One batch is on its way to shared memory while the one before it is widened.
template <DType a, DType scale>
class RowWidener {
public:
    /// \param ring of the warp: raw_ring_bytes
    __device__ __forceinline__ RowWidener(const RawRows& raw, ptx::SharedAddress ring)
        : raw_(raw),
          lane_(static_cast<int>(threadIdx.x) % 32),
          units_(raw.call.depth / Unit::values),
          ring_(ring + lane_ * Unit::bytes),
          taken_(take()),
          next_{raw.first - 1, units_ + lane_} {
        start(0);
        now_ = {next_first_, lane_};
    }

    /// Widens a batch. False where there is none.
    __device__ __forceinline__ bool step() {
        const WidenCall& call = raw_.call;
        if (now_.row >= call.rows) {
            return false;
        }
        const std::uint32_t codes = codes_[0] | codes_[1] << 8 | codes_[2] << 16 | codes_[3] << 24;
        start(slot_ ^ batch_bytes);
        ptx::cp_async_wait_groups<1>();
        auto* const target =
            reinterpret_cast<uint4*>(call.out + static_cast<std::int64_t>(now_.row) * call.depth) + now_.at * 2;
#pragma unroll
        for (int i = 0; i < units_at_once; ++i) {
            if (now_.at + i * 32 < units_) {
                Unit unit;
                unit.load(ring_ + slot_ + i * 32 * Unit::bytes, codes >> (8 * i) & 255U);
                uint4 front;
                uint4 back;
                unit.widen(front, back);
                target[i * 64] = front;
                target[i * 64 + 1] = back;
            }
        }
        slot_ ^= batch_bytes;
        now_.at += units_at_once * 32;
        if (now_.at - lane_ >= units_) {
            end_row();
        }
        return true;
    }

private:
    using Unit = RowUnit<a, scale>;
    static constexpr int batch_bytes = units_at_once * 32 * Unit::bytes;
    static_assert(units_at_once == 4 && 2 * batch_bytes <= raw_ring_bytes);

    struct Place {
        int row;
        int at;  ///< this lane's first unit of the batch
    };

    /// Asks for the next rows, which the first lane will be told.
    [[nodiscard]] __device__ __forceinline__ int take() const {
        return lane_ == 0 ? static_cast<int>(atomicAdd(raw_.progress, rows_at_once)) : 0;
    }

    /// Starts the copies of the next batch: of the next row where the row has no more. A row of no expert has none, and
    /// becomes anything.
    __device__ __forceinline__ void start(int slot) {
        const WidenCall& call = raw_.call;
        if (next_.at - lane_ >= units_) {
            next_ = {next_.row + 1, lane_};
            if (next_.row % rows_at_once == 0) {
                next_first_ = raw_.first + __shfl_sync(~0U, taken_, 0);
                next_.row = next_first_;
                taken_ = take();
            }
            if (next_.row < call.rows) {
                if (next_.row >= owner_.end_row) {
                    owner_ = owner_of(call.m_indptr, call.experts, next_.row);
                }
                if (owner_.expert >= 0) {
                    scales_ = RowScales(call, owner_, next_.row);
                }
            }
        }
        if (next_.row < call.rows && owner_.expert >= 0) {
            const std::uint8_t* const source =
                call.a + (static_cast<std::int64_t>(next_.row) * units_ + next_.at) * Unit::bytes;
#pragma unroll
            for (int i = 0; i < units_at_once; ++i) {
                if (const int at = next_.at + i * 32; at < units_) {
                    ptx::cp_async<Unit::bytes>(ring_ + slot + i * 32 * Unit::bytes, source + i * 32 * Unit::bytes);
                    codes_[i] = scales_.code(at * Unit::values / Unit::group);
                }
            }
        }
        ptx::cp_async_commit();
        next_.at += units_at_once * 32;
    }

    /// Goes on to the next row, and says what is done where it was the last of those taken.
    __device__ __forceinline__ void end_row() {
        const int row = now_.row;
        now_ = {row + 1, lane_};
        const bool is_end = now_.row == raw_.call.rows;
        if (now_.row % rows_at_once == 0 || is_end) {
            ptx::fence_async_global();  // what this lane wrote is read by the copy engine
            __syncwarp();
            if (lane_ == 0) {
                ptx::add_release(raw_.progress + 1 + row / RowProgress::rows,
                                 static_cast<std::uint32_t>(row % rows_at_once + 1));
            }
            now_.row = is_end ? now_.row : next_first_;
        }
    }

    const RawRows& raw_;
    int lane_;
    int units_;  ///< of a row
    ptx::SharedAddress ring_;
    int slot_ = 0;
    int taken_;
    Place next_;  ///< what is started next
    Place now_{};
    int next_first_ = 0;  ///< of the rows taken last
    RowOwner owner_{-1, 0, 0};
    RowScales scales_;
    std::uint32_t codes_[units_at_once]{};  ///< of the batch started last
};

/// Waits until a tile's rows are in the workspace, for copies that one of the warp's lanes will start.
__device__ __forceinline__ void wait_for_rows(const RawRows& raw, const Tile& tile, int lane) {
    const int end = tile.row + tile.rows;
    for (int first = max(tile.row, raw.first) / RowProgress::rows; first * RowProgress::rows < end; first += 32) {
        const int block = first + lane;
        const int start = block * RowProgress::rows;
        if (start < end) {
            const auto wanted = static_cast<std::uint32_t>(min(RowProgress::rows, raw.call.rows - start));
            while (ptx::load_acquire(raw.progress + 1 + block) != wanted) {
                __nanosleep(100);
            }
        }
    }
    ptx::fence_async_global();
    __syncwarp();
}

}  // namespace moegemm::hopper
