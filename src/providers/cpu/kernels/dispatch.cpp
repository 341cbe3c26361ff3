#include "providers/cpu/kernels/dispatch.hpp"

#include <array>
#include <cstdlib>
#include <string>

#include <moegemm/error.hpp>

#include "cpu/features.hpp"
#include "providers/cpu/kernels/generic/generic.hpp"
#if defined(__x86_64__)
#include "providers/cpu/kernels/amx/amx.hpp"
#include "providers/cpu/kernels/avx2/avx2.hpp"
#include "providers/cpu/kernels/avx512/avx512.hpp"
#include "providers/cpu/kernels/avx512/bf16_lines.hpp"
#include "providers/cpu/kernels/avx512_bf16/avx512_bf16.hpp"
#include "providers/cpu/kernels/avx512_gfni/avx512_gfni.hpp"
#include "providers/cpu/kernels/avx512_vnni/avx512_vnni.hpp"
#endif

namespace moegemm::cpu {
namespace {

// Processors of AMD read weights that nothing is done to fastest by as few streams as are multiplied together, and drop
// what they are asked for and have no buffer for. Others read by four, and wait until there is a buffer.
constexpr WeightReading reading_of_amd{2, 3};
constexpr WeightReading reading{group_panels, 1};

constexpr KernelFamily generic_family{"generic", &generic_kernels, nullptr, reading, nullptr, nullptr};
#if defined(__x86_64__)
constexpr KernelFamily avx2_family{"avx2", &avx2_kernels, &avx2_int8_kernels, reading, nullptr, nullptr};
constexpr KernelFamily avx512_family{"avx512", &avx512_kernels, nullptr, reading, nullptr, nullptr};
constexpr KernelFamily avx512_vnni_family{"avx512_vnni", &avx512_kernels, &avx512_vnni_int8_kernels,
                                          reading,       nullptr,         nullptr};
constexpr KernelFamily avx512_gfni_family{"avx512_gfni", &avx512_kernels,      &avx512_vnni_int8_kernels,
                                          reading,       &avx512_gfni_kernels, &avx512_f32_decoders};
constexpr KernelFamily avx512_bf16_family{"avx512_bf16",  &avx512_kernels,      &avx512_vnni_int8_kernels,
                                          reading_of_amd, &avx512_bf16_kernels, &avx512_bf16_decoders};
constexpr KernelFamily amx_family{"amx",   &avx512_kernels, &avx512_vnni_int8_kernels,
                                  reading, &amx_kernels,    &avx512_bf16_decoders};
#endif

struct Families {
    std::array<const KernelFamily*, 7> table{};
    std::size_t count = 0;
    void add(const KernelFamily& family) { table[count++] = &family; }
};

Families detect() {
    Families families;
#if defined(__x86_64__)
    const CpuFeatures& cpu = cpu_features();
    const bool decodes_bf16 = cpu.avx512_vnni && cpu.gfni;
    if (cpu.amx_bf16 && cpu.amx_int8 && decodes_bf16) {
        families.add(amx_family);
    }
    // Processors of Intel take as long for vdpbf16ps as for four multiply-adds of f32, which do the work of two.
    if (cpu.avx512_bf16 && decodes_bf16 && !cpu.is_intel) {
        families.add(avx512_bf16_family);
    }
    if (decodes_bf16) {
        families.add(avx512_gfni_family);
    }
    if (cpu.avx512_bf16 && decodes_bf16 && cpu.is_intel) {
        families.add(avx512_bf16_family);
    }
    if (cpu.avx512_vnni) {
        families.add(avx512_vnni_family);
    }
    if (cpu.avx512) {
        families.add(avx512_family);
    }
    if (cpu.avx2) {
        families.add(avx2_family);
    }
#endif
    families.add(generic_family);
    return families;
}

const Families& families() {
    static const Families detected = detect();
    return detected;
}

}  // namespace

std::span<const KernelFamily* const> available_families() noexcept {
    return {families().table.data(), families().count};
}

const KernelFamily& choose_family(std::string_view name) {
    constexpr const char* variable = "MOEGEMM_CPU_KERNEL";
    const char* argument = "kernel";
    if (name.empty()) {
        const char* value = std::getenv(variable);
        if (value == nullptr || *value == '\0') {
            return *available_families().front();
        }
        name = value;
        argument = variable;
    }
    std::string names;
    for (const KernelFamily* family : available_families()) {
        if (family->name == name) {
            return *family;
        }
        names += names.empty() ? "" : ", ";
        names += family->name;
    }
    throw Error(ErrorCode::invalid_argument, argument, std::string(name), "on this machine one of " + names);
}

}  // namespace moegemm::cpu
