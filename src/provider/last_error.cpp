#include "provider/last_error.hpp"

#include <exception>
#include <new>
#include <string>

namespace moegemm {
namespace {

struct KeptError {
    std::string argument, value, allowed, message;
    moegemm_error view{MOEGEMM_OK, "", "", "", ""};

    moegemm_status keep(const Error& error) {
        // The view points nowhere new before every text is there: an allocation may fail in between.
        std::string new_argument = error.argument();
        std::string new_value = error.value();
        std::string new_allowed = error.allowed();
        std::string new_message = error.what();
        argument.swap(new_argument);
        value.swap(new_value);
        allowed.swap(new_allowed);
        message.swap(new_message);
        view = {static_cast<moegemm_status>(error.code()), argument.c_str(), value.c_str(), allowed.c_str(),
                message.c_str()};
        return view.status;
    }

    moegemm_status keep_out_of_memory() noexcept {
        view = {MOEGEMM_OUT_OF_MEMORY, "memory", "exhausted", "more memory, or a smaller problem",
                "memory = exhausted: allowed is more memory, or a smaller problem"};
        return view.status;
    }
};

thread_local KeptError kept;

}  // namespace

const moegemm_error* last_error() noexcept { return &kept.view; }

moegemm_status keep_current_exception() noexcept {
    try {
        try {
            throw;
        } catch (const Error& error) {
            return kept.keep(error);
        } catch (const std::bad_alloc&) {
            return kept.keep_out_of_memory();
        } catch (const std::exception& error) {
            return kept.keep(Error(ErrorCode::internal, "exception", error.what(), "an Error of moegemm"));
        } catch (...) {
            return kept.keep(Error(ErrorCode::internal, "exception", "of an unknown type", "an Error of moegemm"));
        }
    } catch (...) {
        return kept.keep_out_of_memory();
    }
}

}  // namespace moegemm
