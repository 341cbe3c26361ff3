/// \file
/// One call of the op with random tensors, a poisoned y, and guard bytes around every tensor.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/provider.hpp>

namespace moegemm::test {

/// Memory that starts at a multiple of 64 bytes, between guard bytes.
class GuardedBuffer {
public:
    explicit GuardedBuffer(std::int64_t bytes, std::uint8_t poison = 0xA5)
        : storage_(static_cast<std::size_t>(bytes) + 3 * guard_bytes, guard), size_(static_cast<std::size_t>(bytes)) {
        const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
        begin_ = guard_bytes + (guard_bytes - address % guard_bytes) % guard_bytes;
        std::fill_n(data(), size_, poison);
    }
    [[nodiscard]] std::uint8_t* data() { return storage_.data() + begin_; }
    [[nodiscard]] std::vector<std::uint8_t> bytes() const {
        const auto first = storage_.begin() + static_cast<std::ptrdiff_t>(begin_);
        return {first, first + static_cast<std::ptrdiff_t>(size_)};
    }
    [[nodiscard]] bool guards_intact() const {
        const auto is_guard = [](std::uint8_t byte) { return byte == guard; };
        const auto first = storage_.begin() + static_cast<std::ptrdiff_t>(begin_);
        return std::all_of(storage_.begin(), first, is_guard) &&
               std::all_of(first + static_cast<std::ptrdiff_t>(size_), storage_.end(), is_guard);
    }
    [[nodiscard]] bool all(std::uint8_t value) const {
        const std::vector<std::uint8_t> now = bytes();
        return std::all_of(now.begin(), now.end(), [&](std::uint8_t byte) { return byte == value; });
    }

private:
    static constexpr std::size_t guard_bytes = 64;
    static constexpr std::uint8_t guard = 0x5A;
    std::vector<std::uint8_t> storage_;
    std::size_t size_;
    std::size_t begin_ = 0;
};

/// Finite, non-zero values of a type, as stored bytes.
inline void fill_random(DType dtype, std::uint8_t* data, std::int64_t elements, std::mt19937& generator) {
    const auto uniform = [&](std::uint32_t low, std::uint32_t high) {
        return std::uniform_int_distribution<std::uint32_t>(low, high)(generator);
    };
    for (std::int64_t i = 0; i < elements; ++i) {
        const std::uint32_t sign = uniform(0, 1);
        switch (dtype) {
            case DType::bf16: {
                const auto code = static_cast<std::uint16_t>(sign << 15 | uniform(0x3E80, 0x40FF));  // ±0.25 … ±8
                std::memcpy(data + 2 * i, &code, 2);
                break;
            }
            case DType::f32: {
                const float value = std::uniform_real_distribution<float>(0.25F, 2.0F)(generator);
                std::memcpy(data + 4 * i, &value, 4);
                break;
            }
            case DType::ue8m0:
                data[i] = static_cast<std::uint8_t>(uniform(120, 134));
                break;
            case DType::ue4m3:
                data[i] = static_cast<std::uint8_t>(uniform(0x20, 0x50));
                break;
            case DType::e4m3:
            case DType::e5m2:
                data[i] = static_cast<std::uint8_t>(sign << 7 | uniform(0x01, 0x70));
                break;
            default:  // every byte is a value
                data[i] = static_cast<std::uint8_t>(uniform(0, 255));
        }
    }
}

/// Not to be copied or moved: the operands point into it.
class RandomCall {
public:
    static constexpr std::uint8_t poison = 0xA5;

    RandomCall(const Problem& given, unsigned seed) : problem(given) {
        std::mt19937 generator(seed);
        buffers.reserve(role_count);
        for (const TensorSpec& tensor : tensor_specs(problem.spec(), problem.rows())) {
            GuardedBuffer& buffer = buffers.emplace_back(tensor.bytes, poison);
            if (tensor.role == Role::m_indptr) {
                std::memcpy(buffer.data(), problem.m_indptr().data(), static_cast<std::size_t>(tensor.bytes));
            } else if (tensor.role != Role::y) {
                fill_random(tensor.dtype, buffer.data(), tensor.bytes / info(tensor.dtype).bytes, generator);
            } else {
                y = &buffer;
            }
            operands[tensor.role] = Tensor(buffer.data(), tensor.dtype, tensor.shape);
        }
    }
    RandomCall(const RandomCall&) = delete;
    RandomCall& operator=(const RandomCall&) = delete;

    [[nodiscard]] bool guards_intact() const {
        return std::all_of(buffers.begin(), buffers.end(), [](const GuardedBuffer& b) { return b.guards_intact(); });
    }

    Problem problem;
    std::vector<GuardedBuffer> buffers;
    Operands operands;
    GuardedBuffer* y = nullptr;
};

/// A problem of a variant with E experts, of which some have no rows.
inline Problem random_problem(Variant variant, std::mt19937& generator) {
    const VariantInfo& row = info(variant);
    const auto pick = [&](std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(generator);
    };
    GemmSpec spec;
    spec.variant = variant;
    spec.a = row.a == DType::e4m3 && pick(0, 1) == 1 ? DType::e5m2 : row.a;
    spec.w = row.w == DType::e4m3 && pick(0, 1) == 1 ? DType::e5m2 : row.w;
    spec.dst = std::array<DType, 3>{DType::bf16, DType::f16, DType::f32}[static_cast<std::size_t>(pick(0, 2))];
    const auto layouts = static_cast<std::int64_t>(
        std::count_if(row.layouts.begin(), row.layouts.end(), [](ScaleLayout l) { return l != ScaleLayout::none; }));
    spec.scale_layout = layouts == 0 ? ScaleLayout::none : row.layouts[static_cast<std::size_t>(pick(0, layouts - 1))];
    spec.has_alpha = row.alpha != Alpha::none && pick(0, 1) == 1;
    spec.experts = pick(1, 5);
    spec.n = pick(1, 150);
    spec.k = row.k_granularity * pick(1, row.k_granularity == 1 ? 300 : 12);
    std::vector<std::int32_t> m_indptr{0};
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        m_indptr.push_back(m_indptr.back() + static_cast<std::int32_t>(pick(0, 2) == 0 ? 0 : pick(1, 20)));
    }
    return Problem::from(spec, std::move(m_indptr));
}

/// A small problem of 2 experts with 3 and 5 rows.
inline Problem small_problem(Variant variant, DType dst = DType::f32) {
    const VariantInfo& row = info(variant);
    GemmSpec spec;
    spec.variant = variant;
    spec.a = row.a;
    spec.w = row.w;
    spec.dst = dst;
    spec.scale_layout = row.layouts[0];
    spec.has_alpha = row.alpha != Alpha::none;
    spec.experts = 2;
    spec.n = 20;
    spec.k = 64;
    return Problem::from(spec, {0, 3, 8});
}

}  // namespace moegemm::test
