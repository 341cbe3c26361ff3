/// \file
/// Type and shape of the tensors of a call, without a byte of memory: a check before every call must not allocate.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include <moegemm/tensor.hpp>

namespace moegemm {

/// What a tensor of a call must be.
struct TensorShape {
    Role role{};
    std::string_view name;
    DType dtype{};
    int rank = 0;
    std::array<std::int64_t, Tensor::max_rank> extents{};  ///< in stored elements
    std::int64_t bytes = 0;

    [[nodiscard]] std::span<const std::int64_t> shape() const noexcept {
        return {extents.data(), static_cast<std::size_t>(rank)};
    }
};

/// The tensors of a call in the order of Role; absent ones are left out.
struct TensorShapes {
    std::array<TensorShape, role_count> tensors{};
    std::size_t count = 0;

    [[nodiscard]] const TensorShape* begin() const noexcept { return tensors.data(); }
    [[nodiscard]] const TensorShape* end() const noexcept { return tensors.data() + count; }
};

/// \param rows R, of A, y and the row-wise scales
/// \throws Error overflow naming the tensor whose bytes do not fit in 63 bits
[[nodiscard]] TensorShapes tensor_shapes(const GemmSpec& spec, std::int64_t rows);

}  // namespace moegemm
