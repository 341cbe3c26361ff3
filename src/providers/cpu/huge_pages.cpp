#include "providers/cpu/huge_pages.hpp"

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace moegemm::cpu {

void prefer_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__)
    constexpr std::uintptr_t page = std::uintptr_t{2} << 20;
    constexpr int collapse = 25;  // MADV_COLLAPSE, since Linux 6.1; headers may be older
    const auto first = (reinterpret_cast<std::uintptr_t>(data) + page - 1) / page * page;
    const auto end = (reinterpret_cast<std::uintptr_t>(data) + bytes) / page * page;
    if (first < end) {
        (void)::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
        (void)::madvise(reinterpret_cast<void*>(first), end - first, collapse);
    }
#endif
}

}  // namespace moegemm::cpu
