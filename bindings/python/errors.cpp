#include "errors.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

namespace nb = nanobind;

namespace moegemm::python {
namespace {

PyObject* exception_type(const Error& error) {
    if (dynamic_cast<const TypeMismatch*>(&error) != nullptr) {
        return PyExc_TypeError;
    }
    switch (error.code()) {
        case ErrorCode::invalid_argument:
        case ErrorCode::overflow:
        case ErrorCode::parse:
            return PyExc_ValueError;
        case ErrorCode::unsupported:
            return PyExc_NotImplementedError;
        case ErrorCode::out_of_memory:
            return PyExc_MemoryError;
        case ErrorCode::io:
            return PyExc_OSError;
        case ErrorCode::ok:
        case ErrorCode::plugin:
        case ErrorCode::internal:
            return PyExc_RuntimeError;
    }
    return PyExc_RuntimeError;
}

void raise(const Error& error) {
    PyObject* type = exception_type(error);
    nb::object exception = nb::borrow(type)(error.what());
    exception.attr("argument") = error.argument();
    exception.attr("value") = error.value();
    exception.attr("allowed") = error.allowed();
    PyErr_SetObject(type, exception.ptr());
}

}  // namespace

void register_errors() {
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const Error& error) {
            raise(error);
        }
    });
}

}  // namespace moegemm::python
