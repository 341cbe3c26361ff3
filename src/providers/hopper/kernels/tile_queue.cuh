/// \file
/// How one warp tells the others which tiles come.
///
/// Finding a tile takes a look at the row counts and some hundred instructions, which come from memory the first time.
/// A warp that has nothing else to do finds them ahead of time; the others read four numbers.
///
/// CTAs take tiles by a counter in the call's workspace, which may hold anything when a launch begins; and no other
/// launch is to be spent on it. So the first CTA opens the counter, when its own first tile is told: it writes a ticket
/// beside it, a number of 64 bits that no other launch has. Each CTA knows its first tiles by its own number, and has
/// loaded for microseconds before it asks for the next; where there are no more, nobody asks. The last CTA for which
/// none is left takes the ticket away, so that the launch may be repeated as it is (a CUDA graph). No CTA waits for one
/// that may not have started, but for the first, which waits for none.
#pragma once

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/ring.cuh"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/global.cuh"
#include "providers/hopper/ptx/mbarrier.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {

/// Slots for tiles in shared memory, each with two barriers: that its tile is there, and that the tile's copies of
/// weights have been started, up to some step.
///
/// Only the last is waited for before a slot is written again: tile n is told when the first weights of tile n - 4 are
/// on their way, at least. The stage that was filled `stages` before them has been released then, so that all have read
/// its tile: at the worst tile n - 4 - stages, each tile being one stage. `stages` + 6 slots are more than enough.
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
        int4 values{};
        if (warp_arrivals == 1 || threadIdx.x % 32 == 0) {  // for racecheck, only a lane that arrives where one does
            values = ptx::load_shared_4(first + slot * tile_slot_bytes);
        }
        ptx::warp_barrier();  // whatever a lane says from here on, all have read
        // From one lane to all, so that the compiler knows that all take the same branches and can keep what depends on
        // them in registers of the warp.
        const auto same = [](int value) { return __shfl_sync(~0U, value, 0); };
        const int extent = same(values.w);
        return {same(values.x), same(values.y), extent % 65536, same(values.z), extent / 65536};
    }
};

/// By how many steps along K a tile is found before its first weights can be asked for: as long as finding it takes,
/// and not longer, so that no CTA takes a tile that another could begin before.
inline constexpr int finding_steps = 8;
/// Of `steps` steps along K of a tile, the one after whose copies a later tile is found.
[[nodiscard]] __device__ __forceinline__ int telling_step(int steps) { return max(steps - finding_steps, 0); }
/// How much later: short tiles are found several ahead.
[[nodiscard]] __device__ __forceinline__ int tiles_ahead(int steps) {
    static_assert(finding_steps == 8);
    return steps >= 8 ? 1 : steps >= 4 ? 2 : steps == 3 ? 3 : 4;  // TileQueue has slots for no more
}

/// The items that a CTA takes, of the warp that finds tiles. All lanes call together.
///
/// In the first rounds, as many as tiles are found ahead, each CTA takes one by its own number; those that are left are
/// shared out by the counter.
class Items {
public:
    /// \param call   the kernel's own parameter: what it says is read again where it is needed, not kept in registers
    /// \param rounds without the counter
    __device__ __forceinline__ Items(const Call& call, int rounds)
        : call_(call), own_(static_cast<int>(blockIdx.x)), counted_(rounds * static_cast<int>(gridDim.x)) {}

    /// Before the first item is asked for.
    [[nodiscard]] __device__ __forceinline__ bool is_first() const { return state_ == State::first; }
    /// Before the second one is.
    [[nodiscard]] __device__ __forceinline__ bool is_second() const { return state_ == State::second; }
    /// When it is known how many there are, before the second one is asked for.
    __device__ __forceinline__ void begin(int items) {
        state_ = items > counted_ ? State::closed : State::all_own;
        if (state_ == State::closed && blockIdx.x == 0 && is_leader()) {
            call_.counter->next = static_cast<unsigned>(counted_);
            call_.counter->ended = 0;
            ptx::store_release(&call_.counter->opened, call_.ticket);
        }
    }
    /// Whether the next one is the counter's.
    [[nodiscard]] __device__ __forceinline__ bool is_counted() const {
        return state_ >= State::closed && own_ >= counted_;
    }
    /// The number of the next one. There may be none of that number.
    [[nodiscard]] __device__ __forceinline__ int next() {
        if (!is_counted()) {
            const int number = own_;
            own_ += static_cast<int>(gridDim.x);
            state_ = state_ == State::first ? State::second : state_;
            return number;
        }
        wait();
        return __shfl_sync(~0U, is_leader() ? static_cast<int>(atomicAdd(&call_.counter->next, 1U)) : 0, 0);
    }
    /// When there was none of the number that came last.
    __device__ __forceinline__ void end() {
        if (state_ >= State::closed) {
            wait();
            if (is_leader() && atomicAdd(&call_.counter->ended, 1U) == gridDim.x - 1) {
                call_.counter->opened = 0;
            }
        }
    }

private:
    enum class State : std::uint8_t {
        first,    ///< none has been asked for
        second,   ///< one has
        all_own,  ///< no CTA has any by the counter
        closed,   ///< some are the counter's, which may not be open yet
        open
    };
    [[nodiscard]] __device__ __forceinline__ static bool is_leader() { return threadIdx.x % 32 == 0; }
    /// Until the counter is this launch's.
    __device__ __forceinline__ void wait() {
        if (state_ == State::closed && is_leader()) {
            while (ptx::load_acquire(&call_.counter->opened) != call_.ticket) {
            }
        }
        state_ = State::open;
    }

    const Call& call_;
    int own_;      ///< the next item by the CTA's number
    int counted_;  ///< the first of those that the counter hands out
    State state_ = State::first;
};

/// Of the warp that finds tiles.
template <int stages, TileShape shape>
class TileFinder {
public:
    static_assert(shape.columns / shape.part <= 2, "where a CTA's first item is a part, there are no more than CTAs");

    /// \param steps along K of a tile
    __device__ __forceinline__ TileFinder(TileQueue<stages> queue, const Call& call, int steps)
        : queue_(queue),
          items_(call, tiles_ahead(steps)),
          walk_(call.m_indptr, call.experts, call.rows, call.columns),
          columns_(call.columns) {}

    /// Whether tiles may be left.
    [[nodiscard]] __device__ __forceinline__ bool more() const { return more_; }
    /// Whether the next may be told at once.
    [[nodiscard]] __device__ __forceinline__ bool is_due() const {
        return !items_.is_counted() ||
               __any_sync(~0U, static_cast<int>(ptx::mbarrier_test(queue_.loaded(before_.stage), before_.parity))) != 0;
    }
    /// Waits until it may be told, finds it and tells it. Where the counter has the second one, the second call only
    /// finds that out, and does not wait.
    __device__ __forceinline__ void find() {
        walk_.count(items_.is_first());
        if (items_.is_second()) {
            items_.begin(walk_.items());
            if (items_.is_counted()) {
                return;
            }
        }
        if (items_.is_counted()) {
            ptx::mbarrier_wait(queue_.loaded(before_.stage), before_.parity);
            before_.advance();
        }
        Tile tile{};
        do {
            more_ = walk_.find(items_.next(), tile);
        } while (more_ && tile.column >= columns_);  // a part of the last columns' tile
        if (!more_) {
            tile.rows = 0;
        }
        if (threadIdx.x % 32 == 0) {
            queue_.write(place_.stage, tile);
            ptx::mbarrier_arrive(queue_.told(place_.stage));
        }
        place_.advance();
        if (!more_) {
            items_.end();
        }
    }
    /// All that there are.
    __device__ __forceinline__ void find_all() {
        while (more_) {
            find();
        }
    }

private:
    TileQueue<stages> queue_;
    Items items_;
    TileWalk<shape> walk_;
    int columns_;  ///< N
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
    /// One lane of the warp that loads weights says so when those of the tile are on their way, up to telling_step().
    __device__ __forceinline__ void say_loaded() const {
        const int last = place_.stage == 0 ? TileQueue<stages>::slots - 1 : place_.stage - 1;
        ptx::mbarrier_arrive(queue_.loaded(last));
    }

private:
    TileQueue<stages> queue_;
    RingPlace<TileQueue<stages>::slots> place_;
};

}  // namespace moegemm::hopper
