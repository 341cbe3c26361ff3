#include "bench/cache_flush.hpp"

#include <algorithm>
#include <cstddef>

#include "bench/cpu_kernels.hpp"
#include "bench/host_buffer.hpp"
#include "bench/host_memory.hpp"
#include "bench/machine.hpp"

namespace moegemm::bench {
namespace {

constexpr std::int64_t mebibyte = std::int64_t{1} << 20;

std::int64_t flush_bytes() {
    constexpr std::int64_t multiple = 4;
    std::int64_t caches = 0;
    for (const CacheInfo& cache : probe_machine().data_caches) {
        if (cache.level >= 2) {
            caches += cache.bytes * cache.instances;
        }
    }
    const std::int64_t most = std::max(mebibyte, total_memory() / 8);
    const std::int64_t wanted = std::min(std::max(multiple * caches, 32 * mebibyte), most);
    return wanted / mebibyte * mebibyte;
}

}  // namespace

CacheFlush::CacheFlush(ThreadTeam& team) : team_(team), bytes_(flush_bytes()), read_(read_kernel()) {}

void CacheFlush::prepare(CacheRule rule) {
    if (rule == CacheRule::warm || buffer_) {
        return;
    }
    buffer_ = allocate_host(bytes_);
    // Pages that were never written are all one page of zeros: reading them would turn nothing out.
    team_.run([this](int index) { apply_slice(CacheRule::cold, index); });
}

void CacheFlush::apply_slice(CacheRule rule, int index) {
    if (rule == CacheRule::warm) {
        return;
    }
    const std::int64_t granules = bytes_ / 4096;
    const std::int64_t begin = granules * index / team_.size() * 4096;
    const std::int64_t end = granules * (index + 1) / team_.size() * 4096;
    auto* const slice = static_cast<std::byte*>(buffer_.get()) + begin;
    if (rule == CacheRule::cold) {
        // Not memset: for sizes like this it may store past the caches, and then turns nothing out.
        auto* const words = reinterpret_cast<std::uint64_t*>(slice);
        for (std::int64_t i = 0; i < (end - begin) / static_cast<std::int64_t>(sizeof(std::uint64_t)); ++i) {
            words[i] = static_cast<std::uint64_t>(i) ^ 0x5A5A5A5A5A5A5A5AU;
        }
    } else {
        const std::uint64_t sum = read_(slice, static_cast<std::size_t>(end - begin), 1);
        __asm__ volatile("" : : "r"(sum));
    }
}

void CacheFlush::apply(CacheRule rule) {
    if (rule == CacheRule::warm) {
        return;
    }
    prepare(rule);
    team_.run([this, rule](int index) { apply_slice(rule, index); });
}

}  // namespace moegemm::bench
