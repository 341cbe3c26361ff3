/// \file
/// A non-owning view of a tensor, compatible with DLPack, and the tensors of one call of the op.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dlpack/dlpack.h>
#include <moegemm/problem.hpp>

namespace moegemm {

/// A view of memory that someone else owns: address, device, element type, shape; rows contiguous (C order).
class Tensor {
public:
    static constexpr int max_rank = 3;

    Tensor() = default;  ///< absent: defined() is false
    /// \param data  the first element; may be null where a dimension is 0
    /// \throws Error invalid_argument ("shape") for more than max_rank dimensions or a negative one
    Tensor(void* data, DType dtype, std::span<const std::int64_t> shape, DLDevice device = {kDLCPU, 0});
    Tensor(void* data, DType dtype, std::initializer_list<std::int64_t> shape, DLDevice device = {kDLCPU, 0});

    /// A DLPack tensor as a view of type `expected` (a one-byte format may come as uint8).
    /// \param name of the tensor, for messages
    /// \throws Error invalid_argument naming the tensor: wrong type, rank above max_rank, not contiguous
    [[nodiscard]] static Tensor from_dl(const DLTensor& tensor, DType expected, std::string_view name);
    /// The DLPack form; its shape points into this object.
    [[nodiscard]] DLTensor to_dl() const noexcept;

    [[nodiscard]] bool defined() const noexcept { return rank_ >= 0; }
    [[nodiscard]] void* data() const noexcept { return data_; }
    template <class T>
    [[nodiscard]] T* as() const noexcept {
        return static_cast<T*>(data_);
    }
    [[nodiscard]] DType dtype() const noexcept { return dtype_; }
    [[nodiscard]] DLDevice device() const noexcept { return device_; }
    [[nodiscard]] std::span<const std::int64_t> shape() const noexcept {
        return {shape_.data(), static_cast<std::size_t>(rank_ < 0 ? 0 : rank_)};
    }
    [[nodiscard]] std::int64_t elements() const noexcept;  ///< stored elements; 0 where undefined
    [[nodiscard]] std::int64_t bytes() const noexcept { return elements() * info(dtype_).bytes; }

private:
    void* data_ = nullptr;
    DLDevice device_{kDLCPU, 0};
    DType dtype_ = DType::u8;
    int rank_ = -1;
    std::array<std::int64_t, max_rank> shape_{};
};

/// The part that a tensor plays in the op.
enum class Role : std::uint8_t { a, w, a_scale, w_scale, alpha, m_indptr, y };
inline constexpr int role_count = 7;

/// What a tensor of a call must be.
struct TensorSpec {
    Role role;
    std::string name;  ///< as the op spells it: scatter_tokens, experts_weight, per_token_scale, …
    DType dtype;
    std::vector<std::int64_t> shape;  ///< stored elements
    std::int64_t bytes;
};

/// The tensors of a call of `spec` with `rows` rows of A, in the order of Role; absent ones are left out.
/// \throws Error overflow naming the tensor whose bytes do not fit in 63 bits
[[nodiscard]] std::vector<TensorSpec> tensor_specs(const GemmSpec& spec, std::int64_t rows);

/// Bytes and FLOPs of a call, as the op's contract counts them.
struct Accounting {
    std::int64_t
        read_bytes;  ///< all inputs, with experts_token_count and experts_token_offset (E int32 each), without m_indptr
    std::int64_t write_bytes;  ///< y
    std::int64_t io_bytes;     ///< both
    std::int64_t flops;        ///< 2·M·K·N
    /// What a call must at least read: A and its scales, and W and its scales for the experts that have rows.
    std::int64_t floor_read_bytes;
};
/// \throws Error overflow
[[nodiscard]] Accounting account(const Problem& problem);

/// The tensors of one call. Views: the caller keeps the memory alive until the call has ended.
struct Operands {
    Tensor a;          ///< scatter_tokens: (R, K), or (R, K/2) packed
    Tensor w;          ///< experts_weight: (E, N, K), or (E, N, K/2) packed; may be absent where `packed_w` is given
    Tensor a_scale;    ///< per_token_scale (R) or a_scale, as the variant has it
    Tensor w_scale;    ///< experts_scale (E, N) or b_scale; may be absent where `packed_w` is given
    Tensor alpha;      ///< (1) or (E) f32, where the spec has it
    Tensor m_indptr;   ///< (E+1) i32, on the device of the others
    Tensor y;          ///< (R, N) of the dst type
    Tensor packed_w;   ///< (packed_bytes) u8: what Plan::pack made of w and w_scale
    Tensor workspace;  ///< (workspace_bytes) u8; may be absent where the plan needs none
    const std::int32_t* host_m_indptr = nullptr;  ///< optional copy of m_indptr on the host

    [[nodiscard]] const Tensor& operator[](Role role) const noexcept;
    [[nodiscard]] Tensor& operator[](Role role) noexcept;
};

/// Checks the tensors of a call: presence, type, shape, device, alignment of the base (to the element; 16 bytes are
/// never asked for here), and, where m_indptr is in host memory, its values. R, the rows of A, y and the row-wise
/// scales, is the same for all and at most spec.max_rows; on the host m_indptr ends at R. \throws Error
/// invalid_argument naming the tensor, what it is and what it should be
void check_operands(const GemmSpec& spec, const Operands& operands, DLDevice device);

/// Checks what packing reads and writes: w, w_scale and packed_w alone, as check_operands would.
/// \throws Error invalid_argument naming the tensor
void check_weights(const GemmSpec& spec, const Operands& operands, DLDevice device);

}  // namespace moegemm
