#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/tensor.hpp>

#include "op/checked.hpp"

namespace moegemm {
namespace {

[[noreturn]] void throw_tensor(std::string_view name, std::string value, std::string allowed) {
    throw Error(ErrorCode::invalid_argument, std::string(name), std::move(value), std::move(allowed));
}

/// Row-major strides, in elements. A dimension of one entry, or a tensor without elements, may have any.
bool is_compact(std::span<const std::int64_t> shape, const std::int64_t* strides) {
    if (std::ranges::find(shape, 0) != shape.end()) {
        return true;
    }
    std::int64_t expected = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
        if (shape[i] != 1 && strides[i] != expected) {
            return false;
        }
        expected *= shape[i];
    }
    return true;
}

std::string dl_type_text(DLDataType type) {
    return fmt::format("DLPack type of code {}, {} bits, {} lanes", type.code, type.bits, type.lanes);
}

}  // namespace

Tensor::Tensor(void* data, DType dtype, std::span<const std::int64_t> shape, DLDevice device)
    : data_(data), device_(device), dtype_(dtype), rank_(static_cast<int>(shape.size())) {
    if (shape.size() > static_cast<std::size_t>(max_rank)) {
        throw_tensor("shape", fmt::format("({})", fmt::join(shape, ", ")),
                     fmt::format("at most {} dimensions", max_rank));
    }
    std::int64_t size = info(dtype).bytes;
    for (const std::int64_t extent : shape) {
        if (extent < 0) {
            throw_tensor("shape", fmt::format("({})", fmt::join(shape, ", ")), "no negative dimension");
        }
        size = checked_mul(size, extent, "shape");
    }
    std::ranges::copy(shape, shape_.begin());
}

Tensor::Tensor(void* data, DType dtype, std::initializer_list<std::int64_t> shape, DLDevice device)
    : Tensor(data, dtype, std::span<const std::int64_t>(shape.begin(), shape.size()), device) {}

Tensor Tensor::from_dl(const DLTensor& tensor, DType expected, std::string_view name) {
    if (!dl_matches(expected, tensor.dtype)) {
        throw_tensor(name, dl_type_text(tensor.dtype),
                     fmt::format("{}{}: {}", info(expected).name,
                                 dl_matches(expected, info(DType::u8).dl) && expected != DType::u8 ? " or uint8" : "",
                                 dl_type_text(info(expected).dl)));
    }
    if (tensor.ndim < 0 || tensor.ndim > max_rank) {
        throw_tensor(name, fmt::format("{} dimensions", tensor.ndim), fmt::format("0 … {} dimensions", max_rank));
    }
    const auto rank = static_cast<std::size_t>(tensor.ndim);
    if (rank > 0 && tensor.shape == nullptr) {
        throw_tensor(name, "a null shape", fmt::format("the {} entries of its shape", rank));
    }
    const std::span<const std::int64_t> shape(tensor.shape, rank);
    void* const first = tensor.data == nullptr ? nullptr : static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
    Tensor view;
    try {
        view = Tensor(first, expected, shape, tensor.device);
    } catch (const Error& error) {
        throw Error(error.code(), std::string(name), fmt::format("shape ({})", fmt::join(shape, ", ")),
                    error.allowed());
    }
    if (tensor.strides != nullptr && !is_compact(shape, tensor.strides)) {
        throw_tensor(
            name,
            fmt::format("strides ({}) of shape ({})",
                        fmt::join(std::span<const std::int64_t>(tensor.strides, rank), ", "), fmt::join(shape, ", ")),
            "null or row-major compact strides");
    }
    return view;
}

DLTensor Tensor::to_dl() const noexcept {
    DLTensor tensor{};
    tensor.data = data_;
    tensor.device = device_;
    tensor.ndim = std::max(rank_, 0);
    tensor.dtype = info(dtype_).dl;
    // DLPack has no const form of a shape; nobody writes to it.
    tensor.shape = const_cast<std::int64_t*>(shape_.data());
    return tensor;
}

std::int64_t Tensor::elements() const noexcept {
    if (rank_ < 0) {
        return 0;
    }
    std::int64_t product = 1;
    for (const std::int64_t extent : shape()) {
        product *= extent;  // the constructor has seen that the bytes fit
    }
    return product;
}

}  // namespace moegemm
