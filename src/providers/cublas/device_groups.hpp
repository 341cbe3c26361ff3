/// \file
/// A call as cuBLASLt's grouped product reads it on the device: a group an expert, with rows or without.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moegemm/hd.hpp>

#include "providers/cublas/bases.hpp"

namespace moegemm::cublas {

/// Arrays with an entry for each expert, and the two factors that all have in common.
struct DeviceGroups {
    const void** weights;
    const void** tokens;
    void** y;
    std::int32_t* n;
    std::int32_t* k;
    std::int32_t* rows;
    float* alpha;
    float* beta;

    /// Arrays start at multiples of this, which cuBLASLt demands of addresses.
    static constexpr std::size_t alignment = 16;

    static constexpr std::size_t array_bytes(std::size_t bytes) noexcept {
        return (bytes + alignment - 1) / alignment * alignment;
    }
    [[nodiscard]] static constexpr std::size_t bytes(std::int64_t experts) noexcept {
        const auto count = static_cast<std::size_t>(experts);
        return 3 * array_bytes(count * sizeof(void*)) + 3 * array_bytes(count * sizeof(std::int32_t)) + alignment;
    }
    /// \param memory bytes(experts) of it, aligned
    [[nodiscard]] static DeviceGroups in(std::byte* memory, std::int64_t experts) noexcept {
        const auto count = static_cast<std::size_t>(experts);
        const auto next = [&memory](std::size_t bytes) {
            std::byte* const first = memory;
            memory += array_bytes(bytes);
            return first;
        };
        DeviceGroups groups{};
        groups.weights = reinterpret_cast<const void**>(next(count * sizeof(void*)));
        groups.tokens = reinterpret_cast<const void**>(next(count * sizeof(void*)));
        groups.y = reinterpret_cast<void**>(next(count * sizeof(void*)));
        groups.n = reinterpret_cast<std::int32_t*>(next(count * sizeof(std::int32_t)));
        groups.k = reinterpret_cast<std::int32_t*>(next(count * sizeof(std::int32_t)));
        groups.rows = reinterpret_cast<std::int32_t*>(next(count * sizeof(std::int32_t)));
        groups.alpha = reinterpret_cast<float*>(memory);
        groups.beta = groups.alpha + 1;
        return groups;
    }
};

/// Writes the entries of one expert.
struct FillGroups {
    Bases bases;
    const std::int32_t* m_indptr;
    std::int32_t n;
    std::int32_t k;
    DeviceGroups groups;

    MOEGEMM_HD void operator()(std::int64_t expert) const {
        const std::int64_t first = m_indptr[expert];
        groups.weights[expert] = bases.weights + expert * bases.expert_bytes;
        groups.tokens[expert] = bases.tokens + first * bases.token_bytes;
        groups.y[expert] = bases.y + first * bases.y_bytes;
        groups.n[expert] = n;
        groups.k[expert] = k;
        groups.rows[expert] = static_cast<std::int32_t>(m_indptr[expert + 1] - first);
        if (expert == 0) {
            *groups.alpha = 1.0F;
            *groups.beta = 0.0F;
        }
    }
};

}  // namespace moegemm::cublas
