/// \file
/// The border where exceptions become statuses of the C ABI.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <moegemm/abi.h>
#include <moegemm/error.hpp>

namespace moegemm {

/// The calling thread's last error; status MOEGEMM_OK where there was none. Each plug-in that is linked with the
/// library has its own, hence the tables hold this function and not the exported moegemm_last_error, which another
/// library's could stand in for.
const moegemm_error* last_error() noexcept;

/// Keeps the exception that is being handled as the thread's last error.
/// \return its status: an Error's own, out_of_memory for std::bad_alloc, internal for any other
moegemm_status keep_current_exception() noexcept;

/// Calls `body`; what it throws becomes the thread's last error.
template <class Body>
moegemm_status guarded(Body&& body) noexcept {
    try {
        std::forward<Body>(body)();
        return MOEGEMM_OK;
    } catch (...) {
        return keep_current_exception();
    }
}

/// \throws Error invalid_argument naming `argument` where the pointer is null
template <class T>
T* require(T* pointer, std::string_view argument) {
    if (pointer == nullptr) {
        throw Error(ErrorCode::invalid_argument, std::string(argument), "null", "a pointer that is not null");
    }
    return pointer;
}

/// Checks a structure that carries its own size: callers built with a later version may give longer ones.
/// \param least bytes that it has to have
/// \throws Error invalid_argument naming `argument`, or its struct_size
template <class T>
const T& require_struct(const T* given, std::string_view argument, std::size_t least = sizeof(T)) {
    require(given, argument);
    if (given->struct_size < least) {
        throw Error(ErrorCode::invalid_argument, std::string(argument) + ".struct_size",
                    std::to_string(given->struct_size), "at least " + std::to_string(least));
    }
    return *given;
}

/// The same of a structure that has grown: what a caller built before that leaves out is zero.
/// \param least the bytes that it had at first
template <class T>
T require_grown_struct(const T* given, std::string_view argument, std::size_t least) {
    const std::size_t bytes = require_struct(given, argument, least).struct_size;
    T fields{};
    std::memcpy(&fields, given, std::min(bytes, sizeof fields));
    return fields;
}

}  // namespace moegemm
