#include "providers/cpu/kernels/dispatch.hpp"

#include <array>
#include <cstdlib>
#include <string>

#include <moegemm/error.hpp>

#include "providers/cpu/kernels/generic/generic.hpp"
#if defined(__x86_64__)
#include <cpuid.h>

#include "providers/cpu/kernels/avx2/avx2.hpp"
#include "providers/cpu/kernels/avx512/avx512.hpp"
#include "providers/cpu/kernels/avx512_vnni/avx512_vnni.hpp"
#endif

namespace moegemm::cpu {
namespace {

constexpr KernelFamily generic_family{"generic", &generic_kernels, nullptr};
#if defined(__x86_64__)
constexpr KernelFamily avx2_family{"avx2", &avx2_kernels, nullptr};
constexpr KernelFamily avx512_family{"avx512", &avx512_kernels, nullptr};
constexpr KernelFamily avx512_vnni_family{"avx512_vnni", &avx512_kernels, avx512_vnni_int8_sums};
#endif

struct Families {
    std::array<const KernelFamily*, 4> table{};
    std::size_t count = 0;
    void add(const KernelFamily& family) { table[count++] = &family; }
};

#if defined(__x86_64__)
/// F16C is the one feature that clang 14's __builtin_cpu_supports does not know. Intel SDM, CPUID leaf 1, ECX bit 29.
bool has_f16c() {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1U << 29)) != 0;
}
#endif

Families detect() {
    Families families;
#if defined(__x86_64__)
    // The builtin also asks the operating system (XCR0) whether it saves the wide registers.
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        if (__builtin_cpu_supports("avx512vnni")) {
            families.add(avx512_vnni_family);
        }
        families.add(avx512_family);
    }
    if (avx2) {
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
