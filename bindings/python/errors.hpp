/// \file
/// The library's errors as Python's exceptions.
#pragma once

#include <moegemm/error.hpp>

namespace moegemm::python {

/// An object of a type that will not do; Python tells it from a value that will not do.
class TypeMismatch : public Error {
public:
    using Error::Error;
};

/// From now on an Error becomes ValueError, TypeError, NotImplementedError, MemoryError, OSError or RuntimeError with
/// the library's text, and with `argument`, `value` and `allowed` as attributes.
void register_errors();

}  // namespace moegemm::python
