/// \file
/// How one warp tells the others which tiles come.
///
/// Finding a tile takes a look at the row counts and some hundred instructions, which come from memory the first time.
/// A warp that has nothing else to do finds them ahead of time; the others read four numbers.
#pragma once

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/ring.cuh"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/mbarrier.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {

/// Slots for tiles in shared memory, each with two barriers: that its tile is there, and that all of the tile's copies
/// of weights have been started.
///
/// Only the last is waited for before a slot is written again: tile n is told when the weights of tile n - 2 are on
/// their way. The stage that was filled `stages` before them has been released then, so that all have read its tile: at
/// the worst tile n - 2 - stages, each tile being one stage. `stages` + 6 slots are more than enough.
template <int stages>
struct TileQueue {
    ptx::SharedAddress first;

    static constexpr int slots = tile_slots(stages);

    __device__ __forceinline__ void init() const {
        for (int slot = 0; slot < slots; ++slot) {
            ptx::mbarrier_init(told(slot), 1);
            ptx::mbarrier_init(loaded(slot), 1);
        }
    }
    [[nodiscard]] __device__ __forceinline__ ptx::SharedAddress told(int slot) const {
        return first + slots * tile_slot_bytes + slot * 16;
    }
    [[nodiscard]] __device__ __forceinline__ ptx::SharedAddress loaded(int slot) const { return told(slot) + 8; }

    /// \param tile with no rows where there are no more
    __device__ __forceinline__ void write(int slot, const Tile& tile) const {
        ptx::store_shared_4(first + slot * tile_slot_bytes,
                            make_int4(tile.expert, tile.row, tile.column, tile.rows + tile.columns * 65536));
    }
    [[nodiscard]] __device__ __forceinline__ Tile read(int slot) const {
        const int4 values = ptx::load_shared_4(first + slot * tile_slot_bytes);
        ptx::warp_barrier();  // whatever a lane says from here on, all have read
        // From one lane to all, so that the compiler knows that all take the same branches and can keep what depends on
        // them in registers of the warp.
        const auto same = [](int value) { return __shfl_sync(~0U, value, 0); };
        const int extent = same(values.w);
        return {same(values.x), same(values.y), extent % 65536, same(values.z), extent / 65536};
    }
};

/// Of the warp that finds tiles.
template <int stages, TileShape shape>
class TileFinder {
public:
    __device__ __forceinline__ TileFinder(TileQueue<stages> queue, const Call& call)
        : queue_(queue), walk_(call.m_indptr, call.experts, call.rows, call.columns), columns_(call.columns) {}

    /// Whether tiles may be left.
    [[nodiscard]] __device__ __forceinline__ bool more() const { return more_; }
    /// Whether the next may be told at once.
    [[nodiscard]] __device__ __forceinline__ bool is_due() const {
        return number_ < ahead ||
               __any_sync(~0U, static_cast<int>(ptx::mbarrier_test(queue_.loaded(before_.stage), before_.parity))) != 0;
    }
    /// Finds it, and tells it as soon as it may.
    __device__ __forceinline__ void find() {
        Tile tile{};
        do {
            more_ = walk_.next(tile);
        } while (more_ && tile.column >= columns_);  // a part of the last columns' tile
        if (!more_) {
            tile.rows = 0;
        }
        if (number_ >= ahead) {
            ptx::mbarrier_wait(queue_.loaded(before_.stage), before_.parity);
            before_.advance();
        }
        ++number_;
        if (threadIdx.x % 32 == 0) {
            queue_.write(place_.stage, tile);
            ptx::mbarrier_arrive(queue_.told(place_.stage));
        }
        place_.advance();
    }
    /// All that there are.
    __device__ __forceinline__ void find_all() {
        while (more_) {
            find();
        }
    }

private:
    static constexpr int ahead = 2;

    TileQueue<stages> queue_;
    TileWalk<shape> walk_;
    int columns_;  ///< N
    int number_ = 0;
    bool more_ = true;
    RingPlace<TileQueue<stages>::slots> place_;
    RingPlace<TileQueue<stages>::slots> before_;
};

/// A listener's place in the queue.
template <int stages>
class Tiles {
public:
    __device__ __forceinline__ explicit Tiles(TileQueue<stages> queue) : queue_(queue) {}

    /// False where no tile is left. All lanes call together.
    __device__ __forceinline__ bool next(Tile& tile) {
        ptx::mbarrier_wait(queue_.told(place_.stage), place_.parity);
        tile = queue_.read(place_.stage);
        place_.advance();
        return __any_sync(~0U, static_cast<int>(tile.rows > 0)) != 0;
    }
    /// One lane of the warp that loads weights says so when all of the tile's are on their way.
    __device__ __forceinline__ void say_loaded() const {
        const int last = place_.stage == 0 ? TileQueue<stages>::slots - 1 : place_.stage - 1;
        ptx::mbarrier_arrive(queue_.loaded(last));
    }

private:
    TileQueue<stages> queue_;
    RingPlace<TileQueue<stages>::slots> place_;
};

}  // namespace moegemm::hopper
