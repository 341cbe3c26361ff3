/// \file
/// Python's tensors as the library's: any object that offers DLPack, in place.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <moegemm/tensor.hpp>

namespace moegemm::python {

/// A tensor that Python lent: keeps its memory alive as long as this object.
class TensorView {
public:
    /// \param object what has `__dlpack__`, or at least the buffer protocol
    /// \param name   of the tensor, for messages
    /// \param stream the CUDA stream that will read it, as cudaStream_t; its producer makes that one wait for what it
    ///               has under way, but for -1. Not used for memory of the host.
    /// \param stored the element's type, where the object's own would not say ("e5m2" held as uint8)
    /// \param writable whether it will be written to
    /// \throws TypeMismatch for an object that is no tensor; Error invalid_argument for read-only memory to be written
    TensorView(nanobind::handle object, std::string name, std::intptr_t stream,
               const std::optional<std::string>& stored, bool writable);
    ~TensorView();
    TensorView(const TensorView&) = delete;
    TensorView& operator=(const TensorView&) = delete;

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] std::span<const std::int64_t> shape() const noexcept { return {array_.shape_ptr(), array_.ndim()}; }
    [[nodiscard]] DLDevice device() const noexcept {
        return {static_cast<DLDeviceType>(array_.device_type()), array_.device_id()};
    }
    /// The element's type where DLPack or `stored` says it; nothing for one that only the variant knows (uint8).
    [[nodiscard]] std::optional<DType> dtype() const noexcept;

    /// As a tensor of type `expected`; uint16 is taken for bf16, which NumPy has no type for.
    /// \throws TypeMismatch for another type; Error invalid_argument for strides
    [[nodiscard]] Tensor as(DType expected) const { return as(expected, name_); }
    /// The same, under the name that messages shall have.
    [[nodiscard]] Tensor as(DType expected, std::string_view name) const;

private:
    std::string name_;
    nanobind::ndarray<nanobind::ro> array_;
    DLDataType type_{};
};

/// An absent tensor where Python gave None.
[[nodiscard]] inline Tensor tensor_or_none(const TensorView* view, DType expected, std::string_view name) {
    return view == nullptr ? Tensor() : view->as(expected, name);
}

void bind_tensor_view(nanobind::module_& module);

}  // namespace moegemm::python
