// AMX: eight tiles of 16 rows of 64 bytes. TDPBF16PS and TDPBSSD take 16 cycles for 16·16·64 bytes of products.
#include "providers/cpu/kernels/amx/amx.hpp"

#include "cpu/tile_config.hpp"
#include "providers/cpu/kernels/amx/weight_stream.hpp"

namespace moegemm::cpu {
namespace {

/// The instructions. Assembler, not intrinsics: those of gcc 12 make their operands' names of text, which a template's
/// numbers are not, and let stores move past the loads of tiles.
struct Amx {
    // Of a second-level cache of 2 MiB: C of a task takes another half.
    static constexpr std::int64_t rows_of_task = 512;
    static constexpr std::int64_t resident_bytes = std::int64_t{512} << 10;

    static void begin() {
        const TileConfig config;
        __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
    }
    static void end() { __asm__ volatile("tilerelease" : : : "memory"); }

    template <int Tile>
    static void zero() {
        __asm__ volatile("tilezero %%tmm%c0" : : "i"(Tile));
    }
    template <int Tile>
    static void load(const void* at, std::int64_t stride) {
        __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(Tile), "r"(at), "r"(stride) : "memory");
    }
    /// The same of what is read once: it does not push what is read often out of the first-level cache.
    template <int Tile>
    static void load_once(const void* at, std::int64_t stride) {
        __asm__ volatile("tileloaddt1 (%1,%2,1), %%tmm%c0" : : "i"(Tile), "r"(at), "r"(stride) : "memory");
    }
    template <int Tile>
    static void store(void* at, std::int64_t stride) {
        __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(Tile), "r"(at), "r"(stride) : "memory");
    }
    template <int C, int A, int B>
    static void dot_bf16() {
        __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
    }
    template <int C, int A, int B>
    static void dot_int8() {
        __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
    }
};

}  // namespace

constinit const MatrixKernels amx_kernels = make_matrix_kernels<Amx>();

}  // namespace moegemm::cpu
