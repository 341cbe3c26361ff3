#include <immintrin.h>

#include <cstring>

#include "bench/isa/kernels.hpp"
#include "cpu/tile_config.hpp"

namespace moegemm::bench::isa {
namespace {

constexpr std::int64_t products = 4;  // tiles 0 to 3 are sums, 4 and 5 factors of A, 6 and 7 factors of W

void configure(const void* factors) {
    const TileConfig config;
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, factors, 64);
    _tile_loadd(5, factors, 64);
    _tile_loadd(6, factors, 64);
    _tile_loadd(7, factors, 64);
}

double release() {
    alignas(64) float sums[16 * 16];
    _tile_stored(0, sums, 64);
    _tile_release();
    return static_cast<double>(sums[0]);
}

double run_bf16(std::int64_t rounds) {
    alignas(64) std::uint16_t factors[16 * 32];
    for (int i = 0; i < 16 * 32; ++i) {
        factors[i] = i % 2 == 0 ? 0x3F00 : 0xBF00;  // 0.5, −0.5
    }
    configure(factors);
    for (std::int64_t round = 0; round < rounds; ++round) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    return release();
}

double run_int8(std::int64_t rounds) {
    alignas(64) std::int8_t factors[16 * 64];
    std::memset(factors, 3, sizeof(factors));
    configure(factors);
    for (std::int64_t round = 0; round < rounds; ++round) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    return release();
}

}  // namespace

Peak bf16_amx() { return {run_bf16, products * 2 * 16 * 16 * 32}; }
Peak int8_amx() { return {run_int8, products * 2 * 16 * 16 * 64}; }

}  // namespace moegemm::bench::isa
