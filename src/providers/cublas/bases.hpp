/// \file
/// Where the matrices of a call of the `cublas` provider begin.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moegemm/tensor.hpp>

namespace moegemm::cublas {

struct Bases {
    const std::byte* weights;
    const std::byte* tokens;
    std::byte* y;
    std::int64_t expert_bytes;  ///< of weights
    std::int64_t token_bytes;   ///< of a row of A
    std::int64_t y_bytes;       ///< of a row of y

    [[nodiscard]] static Bases of(const GemmSpec& spec, const Operands& operands) {
        constexpr std::int64_t element = 2;  // bf16
        return {operands.w.as<const std::byte>(),
                operands.a.as<const std::byte>(),
                operands.y.as<std::byte>(),
                spec.n * spec.k * element,
                spec.k * element,
                spec.n * element};
    }
};

}  // namespace moegemm::cublas
