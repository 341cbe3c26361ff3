/// \file
/// Barriers in shared memory that count arrivals and the bytes of asynchronous copies (PTX ISA, "mbarrier").
/// Waits and arrivals are unqualified: the forms with .release.cluster and .acquire.cluster cost a fence of the whole
/// GPU each.
#pragma once

#include <cstdint>

namespace moegemm::hopper::ptx {

/// Where something lies in shared memory: what the instructions here take, and half as long as a pointer.
using SharedAddress = std::uint32_t;

/// That of the CTA's shared memory, once and for all: left alone, the compiler makes it anew wherever it is used.
__device__ __forceinline__ SharedAddress shared_address(const void* pointer) {
    auto address = static_cast<SharedAddress>(__cvta_generic_to_shared(pointer));
    asm volatile("" : "+r"(address));
    return address;
}

__device__ __forceinline__ void mbarrier_init(SharedAddress barrier, std::uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

/// Makes initialised barriers visible to the copy engine.
__device__ __forceinline__ void fence_mbarrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(SharedAddress barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/// Arrives, and lets the phase end only when `bytes` have been copied too.
__device__ __forceinline__ void mbarrier_arrive_expect(SharedAddress barrier, std::uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/// Waits for the end of the phase of this parity.
__device__ __forceinline__ void mbarrier_wait(SharedAddress barrier, std::uint32_t parity) {
    asm volatile(
        "{\n.reg .pred done;\n"
        "WAIT:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra DONE;\n"
        "bra WAIT;\n"
        "DONE:\n}" ::"r"(barrier),
        "r"(parity)
        : "memory");
}

/// Whether the phase of this parity has ended.
__device__ __forceinline__ bool mbarrier_test(SharedAddress barrier, std::uint32_t parity) {
    std::uint32_t done;
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
    return done != 0;
}

/// Starts copying 4 bytes to shared memory, or zeros where there is no source (PTX ISA, "cp.async").
__device__ __forceinline__ void cp_async_4(SharedAddress target, const void* source, bool exists) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(target), "l"(source), "r"(exists ? 4 : 0)
                 : "memory");
}

/// Starts copying 8 or 16 bytes.
template <int bytes>
__device__ __forceinline__ void cp_async(SharedAddress target, const void* source) {
    if constexpr (bytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(target), "l"(source) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(target), "l"(source), "n"(bytes) : "memory");
    }
}
/// Makes a group of this thread's copies since the last one.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `groups` of this thread's groups are still on their way.
template <int groups>
__device__ __forceinline__ void cp_async_wait_groups() {
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

/// Arrives at the barrier when this thread's copies so far have ended, without waiting for them: one of the arrivals
/// that the barrier was made for.
__device__ __forceinline__ void mbarrier_arrive_after_copies(SharedAddress barrier) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

/// Waits until this thread's copies so far have ended.
__device__ __forceinline__ void cp_async_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/// Loads that stay where they stand: those of a whole tile, begun at once, would need as many registers.
__device__ __forceinline__ float load_shared(SharedAddress source) {
    float value;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(source));
    return value;
}
__device__ __forceinline__ float2 load_shared_pair(SharedAddress source) {
    float2 pair;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(pair.x), "=f"(pair.y) : "r"(source));
    return pair;
}
__device__ __forceinline__ std::uint32_t load_shared_word(SharedAddress source) {
    std::uint32_t word;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(source) : "memory");
    return word;
}
__device__ __forceinline__ uint2 load_shared_2_words(SharedAddress source) {
    uint2 words;
    asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(words.x), "=r"(words.y) : "r"(source) : "memory");
    return words;
}
__device__ __forceinline__ int4 load_shared_4(SharedAddress source) {
    int4 values;
    asm volatile("ld.shared.v4.s32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(values.x), "=r"(values.y), "=r"(values.z), "=r"(values.w)
                 : "r"(source)
                 : "memory");
    return values;
}
__device__ __forceinline__ void store_shared_4(SharedAddress target, int4 values) {
    asm volatile("st.shared.v4.s32 [%0], {%1, %2, %3, %4};" ::"r"(target), "r"(values.x), "r"(values.y), "r"(values.z),
                 "r"(values.w)
                 : "memory");
}

}  // namespace moegemm::hopper::ptx
