#include "providers/cpu/emulated_tiles.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "providers/cpu/kernels/amx/weight_stream.hpp"
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

}  // namespace

const cpu::KernelFamily* emulated_tiles() {
#if defined(__x86_64__)
    static const cpu::MatrixKernels matrix = cpu::make_matrix_kernels<Emulated>();
    for (const cpu::KernelFamily* family : cpu::available_families()) {
        if (std::string_view(family->name) == "avx512_vnni") {
            static const cpu::KernelFamily emulated{"amx_emulated", family->f32, family->int8_sums, &matrix,
                                                    &cpu::avx512_bf16_decoders};
            return &emulated;
        }
    }
#endif
    return nullptr;
}

}  // namespace moegemm::test
