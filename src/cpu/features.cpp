#include "cpu/features.hpp"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace moegemm {
namespace {

#if defined(__x86_64__)

struct Leaf {
    std::uint32_t eax = 0;
    std::uint32_t ebx = 0;
    std::uint32_t ecx = 0;
    std::uint32_t edx = 0;
};

Leaf cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    Leaf result;
    __get_cpuid_count(leaf, subleaf, &result.eax, &result.ebx, &result.ecx, &result.edx);
    return result;
}

bool bit(std::uint32_t word, unsigned index) { return ((word >> index) & 1U) != 0; }

std::uint64_t enabled_states() {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (std::uint64_t{high} << 32U) | low;
}

/// Linux hands out the tiles' 8 KiB of state on request only (Documentation/arch/x86/xstate.rst).
bool request_amx() {
    constexpr long arch_req_xcomp_perm = 0x1023;
    constexpr long xfeature_xtiledata = 18;
    return ::syscall(SYS_arch_prctl, arch_req_xcomp_perm, xfeature_xtiledata) == 0;
}

/// Bits: Intel SDM volume 2A, CPUID leaves 1 and 7; state components: volume 1, section 13.1.
CpuFeatures detect() {
    CpuFeatures features;
    const Leaf one = cpuid(1, 0);
    if (!bit(one.ecx, 27)) {  // OSXSAVE
        return features;
    }
    const std::uint64_t states = enabled_states();
    const auto enabled = [&](std::uint64_t mask) { return (states & mask) == mask; };
    const Leaf zero = cpuid(0, 0);
    features.is_intel = zero.ebx == 0x756E6547 && zero.edx == 0x49656E69 && zero.ecx == 0x6C65746E;  // "GenuineIntel"
    const Leaf seven = cpuid(7, 0);
    const Leaf seven_one = cpuid(7, 1);
    const bool ymm = enabled(0x6);
    const bool zmm = enabled(0xE6);
    features.avx2 = ymm && bit(seven.ebx, 5) && bit(one.ecx, 12) && bit(one.ecx, 29);
    features.avx_vnni = features.avx2 && bit(seven_one.eax, 4);
    features.avx512 =
        features.avx2 && zmm && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) && bit(seven.ebx, 31);
    features.gfni = features.avx512 && bit(seven.ecx, 8);
    features.avx512_vnni = features.avx512 && bit(seven.ecx, 11);
    features.avx512_bf16 = features.avx512 && bit(seven_one.eax, 5);
    features.avx512_fp16 = features.avx512 && bit(seven.edx, 23);
    const bool tiles = enabled(0x60000) && bit(seven.edx, 24) && request_amx();
    features.amx_bf16 = tiles && features.avx512 && bit(seven.edx, 22);
    features.amx_int8 = tiles && features.avx512 && bit(seven.edx, 25);
    return features;
}

#else

CpuFeatures detect() { return {}; }

#endif

}  // namespace

const CpuFeatures& cpu_features() {
    static const CpuFeatures features = detect();
    return features;
}

std::vector<std::string> names_of(const CpuFeatures& features) {
    std::vector<std::string> names;
    const auto add = [&](bool present, const char* name) {
        if (present) {
            names.emplace_back(name);
        }
    };
    add(features.avx2, "avx2");
    add(features.avx_vnni, "avx_vnni");
    add(features.avx512, "avx512");
    add(features.avx512_vnni, "avx512_vnni");
    add(features.avx512_bf16, "avx512_bf16");
    add(features.avx512_fp16, "avx512_fp16");
    add(features.gfni, "gfni");
    add(features.amx_bf16, "amx_bf16");
    add(features.amx_int8, "amx_int8");
    return names;
}

}  // namespace moegemm
