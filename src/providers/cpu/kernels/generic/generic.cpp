// Portable vectors of four f32 (the compilers' vector extension: SSE, NEON, or scalar code), decoding by tables.
#include "providers/cpu/kernels/generic/generic.hpp"

#include <moegemm/formats/formats.hpp>

#include "providers/cpu/kernels/outer_product.hpp"

namespace moegemm::cpu {
namespace {

struct Table {
    float value[256];
};

template <class Format>
constexpr Table make_table() {
    Table table{};
    for (int code = 0; code < 256; ++code) {
        table.value[code] = Format::decode(static_cast<std::uint8_t>(code));
    }
    return table;
}

constexpr Table e4m3_table = make_table<formats::E4m3>();
constexpr Table e5m2_table = make_table<formats::E5m2>();
constexpr Table e2m1_table = make_table<formats::E2m1>();
constexpr Table ue8m0_table = make_table<formats::Ue8m0>();
constexpr Table ue4m3_table = make_table<formats::Ue4m3>();

struct Generic {
    static constexpr int lanes = 4;
    static constexpr int tile_rows = 4;
    static constexpr int panel_rows = 2;
    using F = float __attribute__((vector_size(16)));

    static F zero() { return F{}; }
    static F load(const float* at) {
        F value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    static void store(float* at, F value) { std::memcpy(at, &value, sizeof value); }
    static F broadcast(float value) { return F{value, value, value, value}; }
    static F add(F a, F b) { return a + b; }
    static F mul(F a, F b) { return a * b; }
    static F fma(F a, F b, F c) { return a * b + c; }
    static void prefetch(const std::uint8_t* at) { __builtin_prefetch(at); }

    static void add_int(std::int32_t* c, F sums) {
        for (int lane = 0; lane < lanes; ++lane) {
            c[lane] += static_cast<std::int32_t>(sums[lane]);
        }
    }
    static void store_f16(std::uint16_t* at, F value) {
        for (int lane = 0; lane < lanes; ++lane) {
            at[lane] = formats::F16::encode(value[lane]);
        }
    }

    static constexpr float unit(Element /*element*/) { return 1.0F; }

    static F look_up(const Table& table, const std::uint8_t* at) {
        return F{table.value[at[0]], table.value[at[1]], table.value[at[2]], table.value[at[3]]};
    }

    template <Element E>
    static void decode(const std::uint8_t* at, F (&out)[4]) {
        for (int v = 0; v < 4; ++v) {
            if constexpr (E == Element::bf16) {
                std::uint16_t code[lanes];
                std::memcpy(code, at + 8 * v, sizeof code);
                out[v] = F{formats::Bf16::decode(code[0]), formats::Bf16::decode(code[1]),
                           formats::Bf16::decode(code[2]), formats::Bf16::decode(code[3])};
            } else if constexpr (E == Element::i8) {
                std::int8_t number[lanes];
                std::memcpy(number, at + 4 * v, sizeof number);
                out[v] = F{static_cast<float>(number[0]), static_cast<float>(number[1]), static_cast<float>(number[2]),
                           static_cast<float>(number[3])};
            } else if constexpr (E == Element::e2m1) {
                const std::uint8_t* pair = at + 2 * v;
                out[v] = F{e2m1_table.value[pair[0]], e2m1_table.value[pair[0] >> 4], e2m1_table.value[pair[1]],
                           e2m1_table.value[pair[1] >> 4]};
            } else {
                out[v] = look_up(E == Element::e4m3 ? e4m3_table : e5m2_table, at + 4 * v);
            }
        }
    }

    static void decode_e2m1_panel(const std::uint8_t* at, F (&out)[4]) {
        for (int v = 0; v < 4; ++v) {
            // Nibble v of each of the four 16-bit words.
            std::uint8_t code[lanes];
            for (int lane = 0; lane < lanes; ++lane) {
                code[lane] = static_cast<std::uint8_t>(at[2 * lane + v / 2] >> (v % 2 * 4));
            }
            out[v] = look_up(e2m1_table, code);
        }
    }

    template <GroupScale G>
    static F scales(const std::uint8_t* at) {
        return look_up(G == GroupScale::ue8m0 ? ue8m0_table : ue4m3_table, at);
    }

    static void transpose(const float* in, float* out, std::int64_t out_stride) {
        for (int row = 0; row < lanes; ++row) {
            for (int column = 0; column < lanes; ++column) {
                out[column * out_stride + row] = in[row * k_block + column];
            }
        }
    }
};

}  // namespace

constinit const KernelFamily generic_family = make_family<Generic>("generic");

}  // namespace moegemm::cpu
