#include "providers/cpu/emulated_tiles.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <iterator>
#include <string_view>

#include "cpu/features.hpp"
#include "providers/cpu/kernels/amx/weight_stream.hpp"
#include "providers/cpu/kernels/bf16_dot.hpp"
#include "providers/cpu/kernels/dispatch.hpp"
#if defined(__x86_64__)
#include "providers/cpu/kernels/avx512/bf16_lines.hpp"
#endif

namespace moegemm::test {
namespace {

constexpr int tile_count = 8;
constexpr std::int64_t tile_row_bytes = 64;

/// A thread's tiles; what they hold before `begin` and after `end` is rubbish, as are products without `begin`.
struct Tiles {
    std::uint8_t bytes[tile_count][cpu::matrix_tile][tile_row_bytes];
};
thread_local Tiles tiles;

float bf16(std::uint16_t code) {
    const std::uint32_t bits = static_cast<std::uint32_t>(code) << 16;
    float value = 0.0F;
    std::memcpy(&value, &bits, sizeof value);
    // The instruction takes subnormal numbers for zero.
    return (code & 0x7F80U) == 0 ? 0.0F : value;
}

struct Emulated {
    static constexpr std::int64_t rows_of_task = 512;
    static constexpr std::int64_t resident_bytes = std::int64_t{512} << 10;

    static void begin() { std::memset(&tiles, 0xFF, sizeof tiles); }
    static void end() { std::memset(&tiles, 0xFF, sizeof tiles); }

    template <int Tile>
    static void zero() {
        std::memset(tiles.bytes[Tile], 0, sizeof tiles.bytes[Tile]);
    }
    template <int Tile>
    static void load(const void* at, std::int64_t stride) {
        for (std::int64_t row = 0; row < cpu::matrix_tile; ++row) {
            std::memcpy(tiles.bytes[Tile][row], static_cast<const std::uint8_t*>(at) + row * stride, tile_row_bytes);
        }
    }
    template <int Tile>
    static void load_once(const void* at, std::int64_t stride) {
        load<Tile>(at, stride);
    }
    template <int Tile>
    static void store(void* at, std::int64_t stride) {
        for (std::int64_t row = 0; row < cpu::matrix_tile; ++row) {
            std::memcpy(static_cast<std::uint8_t*>(at) + row * stride, tiles.bytes[Tile][row], tile_row_bytes);
        }
    }

    /// Sums of a row of A with all columns, `Number` by `Number` in 32-bit lanes.
    template <class Sum, class Code, class Value>
    static void dot(int c, int a, int b, Value value) {
        constexpr std::size_t in_lane = 4 / sizeof(Code);
        constexpr std::size_t lanes = 16;
        for (std::int64_t row = 0; row < cpu::matrix_tile; ++row) {
            Sum sums[lanes];
            Code left[lanes * in_lane];
            std::memcpy(sums, tiles.bytes[c][row], sizeof sums);
            std::memcpy(left, tiles.bytes[a][row], sizeof left);
            for (std::size_t k = 0; k < lanes * in_lane; ++k) {
                Code right[lanes * in_lane];
                std::memcpy(right, tiles.bytes[b][k / in_lane], sizeof right);
                for (std::size_t column = 0; column < lanes; ++column) {
                    sums[column] += value(left[k]) * value(right[column * in_lane + k % in_lane]);
                }
            }
            std::memcpy(tiles.bytes[c][row], sums, sizeof sums);
        }
    }
    template <int C, int A, int B>
    static void dot_bf16() {
        dot<float, std::uint16_t>(C, A, B, bf16);
    }
    template <int C, int A, int B>
    static void dot_int8() {
        dot<std::int32_t, std::int8_t>(C, A, B, [](std::int8_t code) { return std::int32_t{code}; });
    }
};

struct EmulatedDot {
    static constexpr std::size_t rows = 12;
    struct F {
        float lane[16];
    };
    struct P {
        std::uint16_t lane[32];
    };
    using W = P;
    static constexpr std::int64_t a_bytes = 2;
    static constexpr std::int64_t w_bytes = cpu::line_bytes;

    static void prefetch(const std::uint8_t* /*at*/) {}

    static F zero() { return {}; }
    static F load(const float* at) {
        F value{};
        std::memcpy(value.lane, at, sizeof value);
        return value;
    }
    static void store(float* at, F value) { std::memcpy(at, value.lane, sizeof value); }
    static F broadcast(float value) {
        F all{};
        std::fill(std::begin(all.lane), std::end(all.lane), value);
        return all;
    }
    static F mul(F a, F b) {
        std::transform(a.lane, a.lane + 16, b.lane, a.lane, std::multiplies<>());
        return a;
    }
    static F fma(F a, F b, F c) {
        for (int i = 0; i < 16; ++i) {
            c.lane[i] = std::fma(a.lane[i], b.lane[i], c.lane[i]);
        }
        return c;
    }
    static P load_weights(const std::uint8_t* at) {
        P value{};
        std::memcpy(value.lane, at, sizeof value);
        return value;
    }
    static P broadcast_pair(const std::uint8_t* at) {
        P value{};
        for (std::size_t i = 0; i < 32; i += 2) {
            std::memcpy(&value.lane[i], at, 4);
        }
        return value;
    }
    static F dot(F sums, P a, P w) {
        for (int i = 0; i < 32; ++i) {
            sums.lane[i / 2] += bf16(a.lane[i]) * bf16(w.lane[i]);
        }
        return sums;
    }
};

/// A stream of few rows: weights that are not bf16 are decoded before they are multiplied.
template <bool Scaled>
std::int64_t dot_stream(const cpu::StreamCall& call) {
    if constexpr (!Scaled) {
        if (call.decode == nullptr) {
            return cpu::dot_stream<EmulatedDot>(call);
        }
    }
    cpu::MatrixCall part{};
    part.a = call.a;
    part.depth_tiles = call.depth_tiles;
    part.blocks = 1;
    part.rows = call.rows;
    part.start = cpu::Start::from_c;
    part.b_stride = cpu::decoded_block_bytes;
    part.times_asked = call.times_asked;
    for (std::int64_t block = 0; block < call.blocks; ++block) {
        bool of_tiles = true;
        for (std::int64_t panel = 0; panel < call.weights.panels; ++panel) {
            const std::int64_t at = panel * call.weights.stride + block * call.block_bytes;
            of_tiles = call.decode(call.weights.elements + at, call.weights.scales + at, cpu::k_block, 0,
                                   call.lines + panel * cpu::decoded_block_bytes) &&
                       of_tiles;
        }
        if (!of_tiles) {
            return block;
        }
        part.a.data = call.a.data + block * call.a.block;
        part.factors = Scaled ? call.factors + block * call.rows : nullptr;
        for (std::int64_t pair = 0; pair < call.weights.panels / 2; ++pair) {
            part.b = call.lines + 2 * pair * cpu::decoded_block_bytes;
            part.c = static_cast<float*>(call.c) + pair * call.c_tile;
            cpu::dot_sums<EmulatedDot, Scaled>(part);
        }
    }
    return call.blocks;
}

}  // namespace

const std::vector<const cpu::KernelFamily*>& emulated_families() {
    static const std::vector<const cpu::KernelFamily*> families = [] {
        std::vector<const cpu::KernelFamily*> list;
#if defined(__x86_64__)
        static const cpu::MatrixKernels tiles_of_arrays = cpu::make_matrix_kernels<Emulated>();
        constexpr auto nothing = [] {};
        static const cpu::MatrixKernels dots_of_arrays{"dot",
                                                       false,
                                                       EmulatedDot::w_bytes,
                                                       4,
                                                       EmulatedDot::a_bytes,
                                                       {},
                                                       0,
                                                       cpu::matrix_tile,
                                                       256,
                                                       std::int64_t{256} << 10,
                                                       nothing,
                                                       nothing,
                                                       nullptr,
                                                       cpu::dot_sums<EmulatedDot, false>,
                                                       cpu::dot_sums<EmulatedDot, true>,
                                                       nullptr,
                                                       dot_stream<false>,
                                                       dot_stream<true>};
        for (const cpu::KernelFamily* family : cpu::available_families()) {
            if (std::string_view(family->name) == "avx512_vnni" && cpu_features().gfni) {
                static const cpu::KernelFamily amx{"amx_emulated",  family->f32,      family->int8,
                                                   family->reading, &tiles_of_arrays, &cpu::avx512_bf16_decoders};
                static const cpu::KernelFamily dot{"avx512_bf16_emulated", family->f32,
                                                   family->int8,           {2, 3},
                                                   &dots_of_arrays,        &cpu::avx512_bf16_decoders};
                list = {&amx, &dot};
            }
        }
#endif
        return list;
    }();
    return families;
}

}  // namespace moegemm::test
