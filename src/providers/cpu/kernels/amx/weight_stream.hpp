/// \file
/// Few rows: weights pass once, decoded a K block ahead of the products, and C stays in tiles over all of K. Written
/// over a type `T` as in matrix_product.hpp.
///
///   one row tile:     C in tiles 0 … 3, four panels    A in 4      W in 5, 6, 7
///   two row tiles:    C in tiles 0 … 3, two panels     A in 4, 5   W in 6, 7
///   three row tiles:  C in tiles 0 … 5, two panels     A in 7      W in 6
///
/// A step is 64 bytes along K of every panel. Beside the steps of a K block the next one is decoded, a panel a step, so
/// that vectors work while tiles do.
#pragma once

#include <cstdint>

#include "providers/cpu/kernels/amx/matrix_product.hpp"

namespace moegemm::cpu {

/// How far ahead lines that tiles take as packed are asked for from memory.
inline constexpr std::int64_t stream_ahead = 2048;

template <class T, int RowTiles, int Panels>
struct StreamTiles {
    static_assert(RowTiles == 1 || Panels == 2);

    template <int C>
    static unsigned char* at(unsigned char* c, std::int64_t c_tile) {
        constexpr int row = C / Panels;
        constexpr int panel = C % Panels;
        return c + panel / 2 * c_tile * 4 + row * matrix_tile * matrix_c_stride + panel % 2 * half_c_stride;
    }

    static void zero() {
        T::template zero<0>();
        T::template zero<1>();
        if constexpr (RowTiles * Panels > 2) {
            T::template zero<2>();
            T::template zero<3>();
        }
        if constexpr (RowTiles * Panels > 4) {
            T::template zero<4>();
            T::template zero<5>();
        }
    }
    static void load(unsigned char* c, std::int64_t c_tile) {
        T::template load<0>(at<0>(c, c_tile), matrix_c_stride);
        T::template load<1>(at<1>(c, c_tile), matrix_c_stride);
        if constexpr (RowTiles * Panels > 2) {
            T::template load<2>(at<2>(c, c_tile), matrix_c_stride);
            T::template load<3>(at<3>(c, c_tile), matrix_c_stride);
        }
        if constexpr (RowTiles * Panels > 4) {
            T::template load<4>(at<4>(c, c_tile), matrix_c_stride);
            T::template load<5>(at<5>(c, c_tile), matrix_c_stride);
        }
    }
    static void store(unsigned char* c, std::int64_t c_tile) {
        T::template store<0>(at<0>(c, c_tile), matrix_c_stride);
        T::template store<1>(at<1>(c, c_tile), matrix_c_stride);
        if constexpr (RowTiles * Panels > 2) {
            T::template store<2>(at<2>(c, c_tile), matrix_c_stride);
            T::template store<3>(at<3>(c, c_tile), matrix_c_stride);
        }
        if constexpr (RowTiles * Panels > 4) {
            T::template store<4>(at<4>(c, c_tile), matrix_c_stride);
            T::template store<5>(at<5>(c, c_tile), matrix_c_stride);
        }
    }

    /// \param b_stride from panel to panel
    template <class Dot>
    static void step(const std::uint8_t* a, std::int64_t a_stride, std::int64_t a_tile, const std::uint8_t* b,
                     std::int64_t b_stride) {
        if constexpr (RowTiles == 1) {
            T::template load<4>(a, a_stride);
            T::template load<5>(b, line_bytes);
            Dot::template run<T, 0, 4, 5>();
            T::template load<6>(b + b_stride, line_bytes);
            Dot::template run<T, 1, 4, 6>();
            if constexpr (Panels == 4) {
                T::template load<7>(b + 2 * b_stride, line_bytes);
                Dot::template run<T, 2, 4, 7>();
                T::template load<5>(b + 3 * b_stride, line_bytes);
                Dot::template run<T, 3, 4, 5>();
            }
        } else if constexpr (RowTiles == 2) {
            T::template load<4>(a, a_stride);
            T::template load<6>(b, line_bytes);
            Dot::template run<T, 0, 4, 6>();
            T::template load<7>(b + b_stride, line_bytes);
            Dot::template run<T, 1, 4, 7>();
            T::template load<5>(a + a_tile, a_stride);
            Dot::template run<T, 2, 5, 6>();
            Dot::template run<T, 3, 5, 7>();
        } else {
            T::template load<6>(b, line_bytes);
            T::template load<7>(a, a_stride);
            Dot::template run<T, 0, 7, 6>();
            T::template load<7>(a + a_tile, a_stride);
            Dot::template run<T, 2, 7, 6>();
            T::template load<7>(a + 2 * a_tile, a_stride);
            Dot::template run<T, 4, 7, 6>();
            T::template load<6>(b + b_stride, line_bytes);
            Dot::template run<T, 5, 7, 6>();
            T::template load<7>(a + a_tile, a_stride);
            Dot::template run<T, 3, 7, 6>();
            T::template load<7>(a, a_stride);
            Dot::template run<T, 1, 7, 6>();
        }
    }
};

/// The weights of a stream as steps take them.
template <class T, int Panels>
class StreamLines {
public:
    explicit StreamLines(const StreamCall& call) : call_(call) {}

    /// Makes a K block's panel ready. \return whether its scales are of tiles
    [[nodiscard]] bool prepare(std::int64_t block, std::int64_t panel) const {
        if (call_.decode == nullptr) {
            return true;
        }
        const std::int64_t at = panel * call_.weights.stride + block * call_.block_bytes;
        return call_.decode(call_.weights.elements + at, call_.weights.scales + at, k_block, call_.block_bytes,
                            buffer(block) + panel * decoded_block_bytes);
    }
    [[nodiscard]] const std::uint8_t* step(std::int64_t block, std::int64_t depth) const {
        const std::int64_t at = depth * matrix_tile * line_bytes;
        if (call_.decode != nullptr) {
            return buffer(block) + at;
        }
        const std::uint8_t* lines = call_.weights.elements + block * call_.block_bytes + at;
        for (std::int64_t panel = 0; panel < Panels; ++panel) {
#pragma GCC unroll 16
            for (std::int64_t line = 0; line < matrix_tile; ++line) {
                __builtin_prefetch(lines + panel * call_.weights.stride + stream_ahead + line * line_bytes, 0, 2);
            }
        }
        return lines;
    }
    [[nodiscard]] std::int64_t panel_stride() const {
        return call_.decode != nullptr ? decoded_block_bytes : call_.weights.stride;
    }

private:
    [[nodiscard]] std::uint8_t* buffer(std::int64_t block) const {
        return call_.lines + block % 2 * Panels * decoded_block_bytes;
    }
    const StreamCall& call_;
};

template <class T, class Dot, bool Scaled, int RowTiles, int Panels>
std::int64_t stream_weights(const StreamCall& call) {
    using Tiles = StreamTiles<T, RowTiles, Panels>;
    constexpr std::int64_t count = Scaled ? std::int64_t{RowTiles} * Panels * matrix_tile * panel_columns : 1;
    alignas(64) float sums[static_cast<std::size_t>(count)];
    constexpr std::int64_t sums_tile = RowTiles * matrix_tile * matrix_columns;
    const StreamLines<T, Panels> lines(call);
    bool ready = true;
    for (std::int64_t panel = 0; panel < Panels; ++panel) {
        ready = lines.prepare(0, panel) && ready;
    }
    if (!ready) {
        return 0;
    }
    auto* c = static_cast<unsigned char*>(call.c);
    Scaled ? Tiles::zero() : Tiles::load(c, call.c_tile);
    std::int64_t block = 0;
    while (ready && block < call.blocks) {
        const std::uint8_t* a = call.a.data + block * call.a.block;
        for (std::int64_t depth = 0; depth < call.depth_tiles; ++depth) {
            if (depth < Panels && block + 1 < call.blocks) {
                ready = lines.prepare(block + 1, depth) && ready;
            }
            Tiles::template step<Dot>(a + depth * call.a.depth, call.a.stride, call.a.tile, lines.step(block, depth),
                                      lines.panel_stride());
        }
        if constexpr (Scaled) {
            Tiles::store(reinterpret_cast<unsigned char*>(sums), sums_tile);
            Tiles::zero();
            for (std::int64_t pair = 0; pair < Panels / 2; ++pair) {
                add_scaled_rows<T>(sums + pair * sums_tile, call.factors + block * call.rows, call.rows, Start::from_c,
                                   static_cast<float*>(call.c) + pair * call.c_tile);
            }
        }
        ++block;
    }
    if constexpr (!Scaled) {
        Tiles::store(c, call.c_tile);
    }
    return block;
}

template <class T, class Dot, bool Scaled>
std::int64_t stream(const StreamCall& call) {
    switch (call.a.row_tiles) {
        case 1:
            return call.weights.panels == 4 ? stream_weights<T, Dot, Scaled, 1, 4>(call)
                                            : stream_weights<T, Dot, Scaled, 1, 2>(call);
        case 2:
            return stream_weights<T, Dot, Scaled, 2, 2>(call);
        default:
            return stream_weights<T, Dot, Scaled, 3, 2>(call);
    }
}

/// A tile costs the same for one row as for sixteen. Weights to be decoded go to tiles whatever the rows, because bf16
/// takes half the instructions that f32 takes; but not where each number is multiplied by a scale, which f32 needs
/// anyway.
template <class T>
constexpr MatrixKernels make_matrix_kernels() {
    constexpr std::int64_t as_packed = 4;
    constexpr std::int64_t nvfp4 = 2;
    return {"matrix",
            true,
            line_bytes,
            4,
            2,
            {as_packed, as_packed, 0, 0, 0, 0, 0, nvfp4},
            matrix_tile,
            matrix_tile,
            T::rows_of_task,
            T::resident_bytes,
            T::begin,
            T::end,
            multiply<T, DotInt8>,
            multiply<T, DotBf16>,
            multiply_scaled<T>,
            stream<T, DotInt8, false>,
            stream<T, DotBf16, false>,
            stream<T, DotBf16, true>};
}

}  // namespace moegemm::cpu
