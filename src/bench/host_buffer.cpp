#include "bench/host_buffer.hpp"

#include <cstddef>

#include <fmt/format.h>
#include <sys/mman.h>

#include <moegemm/error.hpp>

#include "op/checked.hpp"

namespace moegemm::bench {

std::shared_ptr<void> allocate_host(std::int64_t bytes) {
    constexpr std::int64_t huge_page = std::int64_t{2} << 20;
    const bool huge = bytes >= 2 * huge_page;
    const std::int64_t wanted = checked_add(bytes > 0 ? bytes : 1, huge ? huge_page : 0, "memory");
    const auto size = static_cast<std::size_t>(wanted);
    void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        throw Error(ErrorCode::out_of_memory, "memory", fmt::format("{} bytes", bytes), "what the system still has");
    }
    auto address = reinterpret_cast<std::uintptr_t>(mapped);
    if (huge) {
        constexpr auto page = static_cast<std::uintptr_t>(huge_page);
        address = (address + page - 1) / page * page;
        // A wish: without huge pages everything works, only slower.
        (void)::madvise(reinterpret_cast<void*>(address), static_cast<std::size_t>(bytes), MADV_HUGEPAGE);
    }
    std::shared_ptr<void> mapping(mapped, [size](void* base) { ::munmap(base, size); });
    return {std::move(mapping), reinterpret_cast<void*>(address)};
}

}  // namespace moegemm::bench
