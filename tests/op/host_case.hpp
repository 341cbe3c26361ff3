/// \file
/// A problem with tensors of its own, filled with seeded random codes, for tests.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <vector>

#include <moegemm/tensor.hpp>

namespace moegemm::test {

/// A spec of a variant in its default layout, with alpha where it may have one.
inline GemmSpec spec_of(Variant variant, std::int64_t experts, std::int64_t n, std::int64_t k) {
    const VariantInfo& row = info(variant);
    GemmSpec spec;
    spec.variant = variant;
    spec.a = row.a;
    spec.w = row.w;
    spec.dst = DType::f32;
    spec.scale_layout = row.layouts[0];
    spec.has_alpha = row.alpha != Alpha::none;
    spec.experts = experts;
    spec.n = n;
    spec.k = k;
    return spec;
}

/// Row offsets of `experts` experts, about a third of them empty.
inline std::vector<std::int32_t> random_m_indptr(std::mt19937_64& random, std::int64_t experts, int most_rows) {
    std::vector<std::int32_t> m_indptr{0};
    for (std::int64_t expert = 0; expert < experts; ++expert) {
        const bool empty = random() % 3 == 0;
        m_indptr.push_back(m_indptr.back() +
                           (empty ? 0 : static_cast<int>(random() % static_cast<unsigned>(most_rows)) + 1));
    }
    return m_indptr;
}

/// Host tensors of a problem. Elements and one-byte scales are codes of finite numbers; y is poisoned.
class HostCase {
public:
    static constexpr std::uint8_t poison = 0xA5;

    HostCase(Problem problem, std::uint64_t seed) : problem_(std::move(problem)) {
        std::mt19937_64 random(seed);
        for (const TensorSpec& tensor : tensor_specs(problem_.spec(), problem_.rows())) {
            auto& memory = memory_[static_cast<std::size_t>(tensor.role)];
            memory.resize(static_cast<std::size_t>(tensor.bytes) / sizeof(std::max_align_t) + 2);
            fill(tensor, reinterpret_cast<std::uint8_t*>(memory.data()), random);
            operands_[tensor.role] = Tensor(memory.data(), tensor.dtype, tensor.shape);
        }
    }
    HostCase(const HostCase&) = delete;
    HostCase& operator=(const HostCase&) = delete;

    [[nodiscard]] const Problem& problem() const { return problem_; }
    [[nodiscard]] const GemmSpec& spec() const { return problem_.spec(); }
    [[nodiscard]] Operands& operands() { return operands_; }

    /// Whether nobody has written to y, nor right behind it.
    [[nodiscard]] bool y_is_untouched() const {
        const auto& memory = memory_[static_cast<std::size_t>(Role::y)];
        const auto* const bytes = reinterpret_cast<const std::uint8_t*>(memory.data());
        return std::all_of(bytes, bytes + memory.size() * sizeof(std::max_align_t),
                           [](std::uint8_t byte) { return byte == poison; });
    }

private:
    void fill(const TensorSpec& tensor, std::uint8_t* bytes, std::mt19937_64& random) {
        const auto count = static_cast<std::size_t>(tensor.bytes / info(tensor.dtype).bytes);
        if (tensor.role == Role::y) {
            std::memset(bytes, poison, memory_[static_cast<std::size_t>(Role::y)].size() * sizeof(std::max_align_t));
        } else if (tensor.role == Role::m_indptr) {
            std::memcpy(bytes, problem_.m_indptr().data(), static_cast<std::size_t>(tensor.bytes));
        } else if (tensor.dtype == DType::f32) {
            for (std::size_t i = 0; i < count; ++i) {
                const float value = std::ldexp(1.0F + static_cast<float>(random() % 1024) / 1024.0F,
                                               static_cast<int>(random() % 5) - 4);
                std::memcpy(bytes + i * sizeof value, &value, sizeof value);
            }
        } else if (tensor.dtype == DType::bf16) {
            for (std::size_t i = 0; i < count; ++i) {  // magnitudes from 2^-7 to 2^8
                const auto code = static_cast<std::uint16_t>((random() & 0x8000U) | (0x3C00U + random() % 0x780U));
                std::memcpy(bytes + i * sizeof code, &code, sizeof code);
            }
        } else {
            std::generate_n(bytes, count, [&] { return finite_code(tensor.dtype, random); });
        }
    }

    static std::uint8_t finite_code(DType dtype, std::mt19937_64& random) {
        const auto code = static_cast<std::uint8_t>(random());
        switch (dtype) {
            case DType::ue8m0:
                return static_cast<std::uint8_t>(120 + code % 16);
            case DType::ue4m3:
            case DType::e4m3:
                return (code & 0x7FU) == 0x7FU ? std::uint8_t{0x38} : code;
            case DType::e5m2:
                return (code & 0x7CU) == 0x7CU ? std::uint8_t{0x3C} : code;
            default:
                return code;  // int8 and e2m1x2 have no code that is not a number
        }
    }

    Problem problem_;
    std::array<std::vector<std::max_align_t>, role_count> memory_;
    Operands operands_;
};

}  // namespace moegemm::test
