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
    static constexpr int tile_vectors = 4;
    static constexpr int tile_rows = 3;
    static constexpr int direct_rows(Element /*element*/) { return 2; }
    static constexpr int direct_step(Element element) { return direct_rows(element); }
    static constexpr int panels_of(int rows) { return rows == 1 ? 2 : 1; }
    static constexpr int prefetch_bytes = 1024;
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

    static void store_bf16(std::uint16_t* at, F value) {
        for (int lane = 0; lane < lanes; ++lane) {
            at[lane] = formats::Bf16::encode(value[lane]);
        }
    }

    static constexpr float unit(Element /*element*/) { return 1.0F; }

    static F look_up(const Table& table, const std::uint8_t* at) {
        return F{table.value[at[0]], table.value[at[1]], table.value[at[2]], table.value[at[3]]};
    }

    template <Element E>
    static void decode_row(const std::uint8_t* at, F (&out)[4]) {
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

    /// Element `k` of a column of a line, whose bytes kernel_family.hpp puts in order.
    template <Element E>
    static float line_element(const std::uint8_t* at, std::int64_t column, std::int64_t k) {
        if constexpr (E == Element::bf16) {
            std::uint16_t code = 0;
            std::memcpy(&code, at + 4 * column + 2 * k, sizeof code);
            return formats::Bf16::decode(code);
        } else if constexpr (E == Element::i8) {
            return static_cast<float>(static_cast<std::int8_t>(at[4 * column + k]));
        } else if constexpr (E == Element::e2m1) {
            const std::uint8_t pair = at[column * 4 + k / 2];
            return e2m1_table.value[static_cast<std::uint8_t>(pair >> (k % 2 * 4))];
        } else {
            return (E == Element::e4m3 ? e4m3_table : e5m2_table).value[at[k / 2 * 8 + column * 2 + k % 2]];
        }
    }

    template <Element E>
    static void decode_line(const std::uint8_t* at, F* out) {
        for (std::int64_t k = 0; k < line_depths[static_cast<std::size_t>(E)]; ++k) {
            out[k] = F{line_element<E>(at, 0, k), line_element<E>(at, 1, k), line_element<E>(at, 2, k),
                       line_element<E>(at, 3, k)};
        }
    }

    template <GroupScale G>
    static F scales(const std::uint8_t* at) {
        return look_up(G == GroupScale::ue8m0 ? ue8m0_table : ue4m3_table, at);
    }
};

}  // namespace

constinit const FloatKernels generic_kernels = make_float_kernels<Generic>();

}  // namespace moegemm::cpu
