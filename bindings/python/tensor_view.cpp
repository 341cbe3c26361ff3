#include "tensor_view.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "errors.hpp"

namespace nb = nanobind;

namespace moegemm::python {
namespace {

constexpr DLDataType uint16{kDLUInt, 16, 1};

bool same_type(DLDataType left, DLDataType right) {
    return left.code == right.code && left.bits == right.bits && left.lanes == right.lanes;
}

[[noreturn]] void refuse_object(const std::string& name, nb::handle object, const std::string& reason) {
    throw TypeMismatch(
        ErrorCode::invalid_argument, name, nb::cast<std::string>(nb::str(object.type().attr("__name__"))),
        fmt::format(
            "a tensor that offers DLPack ({}); NumPy holds bf16 as uint16, and 8-bit floats and scales as uint8",
            reason));
}

/// What DLPack numbers a stream: 0 would be ambiguous, the legacy default stream is 1.
std::intptr_t dlpack_stream(std::intptr_t stream) { return stream == 0 ? 1 : stream; }

/// Whether a producer has to be told the stream, which must not be said of the host's memory.
bool has_streams(nb::handle object) {
    return nb::hasattr(object, "__dlpack_device__") && nb::cast<int>(object.attr("__dlpack_device__")()[0]) != kDLCPU;
}

/// The object's capsule for that stream.
nb::object capsule_of(nb::handle object, const std::string& name, std::intptr_t stream) {
    nb::dict arguments;
    arguments["stream"] = dlpack_stream(stream);
    nb::dict versioned;
    versioned.update(arguments);
    versioned["max_version"] = nb::make_tuple(1, 0);
    // A producer that is older than DLPack 1.0 does not know the keyword of its version.
    for (const bool last : {false, true}) {
        try {
            return object.attr("__dlpack__")(**(last ? arguments : versioned));
        } catch (nb::python_error& error) {
            if (error.matches(PyExc_BufferError) || (last && error.matches(PyExc_TypeError))) {
                refuse_object(name, object, nb::cast<std::string>(nb::str(error.value())));
            }
            if (!error.matches(PyExc_TypeError)) {
                throw;
            }
        }
    }
    return {};
}

/// Why an object is not lent, in its own words where it has any.
std::string reason_of(nb::handle object) {
    if (!nb::hasattr(object, "__dlpack__")) {
        return "it has no __dlpack__";
    }
    try {
        object.attr("__dlpack__")();
    } catch (nb::python_error& error) {
        return nb::cast<std::string>(nb::str(error.value()));
    }
    return "its __dlpack__ gave nothing of use";
}

}  // namespace

TensorView::TensorView(nb::handle object, std::string name, std::intptr_t stream,
                       const std::optional<std::string>& stored, bool writable)
    : name_(std::move(name)) {
    const nb::object capsule = has_streams(object) ? capsule_of(object, name_, stream) : nb::object();
    const nb::handle source = capsule.is_valid() ? nb::handle(capsule) : object;
    if (nb::ndarray<> lent; writable && nb::try_cast(source, lent, false)) {
        array_ = nb::ndarray<nb::ro>(lent);
    } else if (!nb::try_cast(source, array_, false)) {
        refuse_object(name_, object, reason_of(object));
    } else if (writable) {
        throw Error(ErrorCode::invalid_argument, name_, "read-only memory", "memory that may be written");
    }
    const nb::dlpack::dtype type = array_.dtype();
    type_ = {type.code, type.bits, type.lanes};
    if (stored) {
        const std::optional<DType> known = find_dtype(*stored);
        if (!known || !dl_matches(*known, type_)) {
            throw TypeMismatch(ErrorCode::invalid_argument, name_, *stored, "the name of a type of the tensor's width");
        }
        type_ = info(*known).dl;
    }
}

TensorView::~TensorView() {
    // An error may be on its way to the caller: what gives the memory back must neither see nor lose it.
    const nb::error_scope pending;
    array_ = {};
}

std::optional<DType> TensorView::dtype() const noexcept {
    const auto found = std::ranges::find_if(dtypes, [&](const DTypeInfo& row) { return same_type(row.dl, type_); });
    if (found == dtypes.end() || found->id == DType::u8) {
        return std::nullopt;
    }
    return found->id;
}

Tensor TensorView::as(DType expected, std::string_view name) const {
    DLTensor tensor{};
    // Inputs are only read; DLPack has no const form.
    tensor.data = const_cast<void*>(static_cast<const void*>(array_.data()));
    tensor.device = device();
    tensor.ndim = static_cast<std::int32_t>(array_.ndim());
    tensor.dtype = expected == DType::bf16 && same_type(type_, uint16) ? info(DType::bf16).dl : type_;
    tensor.shape = const_cast<std::int64_t*>(array_.shape_ptr());
    tensor.strides = const_cast<std::int64_t*>(array_.stride_ptr());
    try {
        return Tensor::from_dl(tensor, expected, name);
    } catch (const Error& error) {
        if (!dl_matches(expected, tensor.dtype)) {
            throw TypeMismatch(error.code(), error.argument(), error.value(), error.allowed());
        }
        throw;
    }
}

void bind_tensor_view(nb::module_& module) {
    nb::class_<TensorView>(module, "TensorView", "A tensor that was lent by DLPack.")
        .def(nb::init<nb::handle, std::string, std::intptr_t, const std::optional<std::string>&, bool>(),
             nb::arg("tensor").none(), nb::arg("name"), nb::arg("stream") = 0, nb::arg("stored") = nb::none(),
             nb::arg("writable") = false)
        .def_prop_ro(
            "shape",
            [](const TensorView& view) { return std::vector<std::int64_t>(view.shape().begin(), view.shape().end()); })
        .def_prop_ro("device",
                     [](const TensorView& view) {
                         return std::pair<int, int>(view.device().device_type, view.device().device_id);
                     })
        .def_prop_ro("dtype", [](const TensorView& view) -> std::optional<std::string> {
            const std::optional<DType> dtype = view.dtype();
            return dtype ? std::optional<std::string>(info(*dtype).name) : std::nullopt;
        });
}

}  // namespace moegemm::python
