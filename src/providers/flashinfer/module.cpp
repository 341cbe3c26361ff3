#include "providers/flashinfer/module.hpp"

#include <dlfcn.h>

#include <array>
#include <map>

#include <fmt/format.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <moegemm/error.hpp>

namespace moegemm::flashinfer {
namespace {

namespace ffi = tvm::ffi;

/// No function of FlashInfer's that is called here takes more.
constexpr std::size_t most_arguments = 20;

[[noreturn]] void refuse(const std::filesystem::path& path, std::string why) {
    throw Error(ErrorCode::plugin, "module", path.string(), std::move(why));
}

/// FlashInfer's modules do not name libtvm_ffi as one that they need: as in Python, its symbols have to be global.
void make_tvm_ffi_global() {
    static const bool done = [] {
        Dl_info about{};
        if (dladdr(reinterpret_cast<const void*>(&TVMFFIGetVersion), &about) == 0 ||
            dlopen(about.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD) == nullptr) {
            throw Error(ErrorCode::plugin, "libtvm_ffi", about.dli_fname == nullptr ? "" : about.dli_fname,
                        "a library whose symbols can be made global");
        }
        return true;
    }();
    (void)done;
}

/// The stream that FlashInfer asks for, put back at the end of the scope.
class UseStream {
public:
    UseStream(DLDevice device, void* stream) : device_(device) {
        if (TVMFFIEnvSetStream(device.device_type, device.device_id, stream, &before_) != 0) {
            throw Error(ErrorCode::plugin, "stream", fmt::format("device {}", device.device_id),
                        "a stream that TVM-FFI accepts");
        }
    }
    ~UseStream() { (void)TVMFFIEnvSetStream(device_.device_type, device_.device_id, before_, nullptr); }
    UseStream(const UseStream&) = delete;
    UseStream& operator=(const UseStream&) = delete;

private:
    DLDevice device_;
    TVMFFIStreamHandle before_ = nullptr;
};

ffi::AnyView view_of(const Argument& argument) {
    return std::visit(
        [](const auto& value) -> ffi::AnyView {
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, const DLTensor*>) {
                return ffi::AnyView(const_cast<DLTensor*>(value));
            } else {
                return ffi::AnyView(value);
            }
        },
        argument);
}

}  // namespace

struct Module::State {
    std::filesystem::path path;
    std::map<std::string, ffi::Function, std::less<>> functions;
    /// Of the CUDA runtime that the module is linked with, which need not be the one of this library; null for none.
    int (*last_error)() = nullptr;
    const char* (*error_text)(int) = nullptr;

    /// An error that the runtime kept: FlashInfer drops what its launches return, and its module for SM90 takes one
    /// that was there before for its own, and ends the process.
    void check_runtime(std::string_view when) const {
        const int status = last_error == nullptr ? 0 : last_error();
        if (status != 0) {
            throw Error(ErrorCode::internal, path.stem().string(),
                        error_text == nullptr ? std::to_string(status) : error_text(status),
                        fmt::format("no error of the CUDA runtime {}", when));
        }
    }
};

Module::Module(const std::filesystem::path& given, std::span<const std::string_view> functions)
    : state_(std::make_unique<State>()) {
    make_tvm_ffi_global();
    const std::filesystem::path path = std::filesystem::absolute(given);
    state_->path = path;
    // All symbols now: TVM-FFI binds them when they are first called, and one that is missing would end the process.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char* reason = dlerror();
        refuse(path, fmt::format("a module of FlashInfer's that can be loaded ({})",
                                 reason == nullptr ? "no reason given" : reason));
    }
    try {
        const ffi::Module module = ffi::Module::LoadFromFile(path.string());
        for (const std::string_view name : functions) {
            ffi::Optional<ffi::Function> function = module->GetFunction(std::string(name));
            if (!function.has_value()) {
                refuse(path, fmt::format("a module that exports {} (__tvm_ffi_{}, by Apache TVM-FFI)", name, name));
            }
            state_->functions.emplace(name, *std::move(function));
        }
    } catch (const Error&) {
        dlclose(library);
        throw;
    } catch (const std::exception& error) {
        dlclose(library);
        refuse(path, fmt::format("a module that Apache TVM-FFI can load ({})", error.what()));
    }
    state_->last_error = reinterpret_cast<int (*)()>(dlsym(library, "cudaGetLastError"));
    state_->error_text = reinterpret_cast<const char* (*)(int)>(dlsym(library, "cudaGetErrorString"));
}

Module::~Module() = default;

const std::filesystem::path& Module::path() const noexcept { return state_->path; }

void Module::call(std::string_view function, std::span<const Argument> arguments, DLDevice device, void* stream) const {
    const auto found = state_->functions.find(function);
    if (found == state_->functions.end() || arguments.size() > most_arguments) {
        throw Error(ErrorCode::internal, "function", fmt::format("{} of {} arguments", function, arguments.size()),
                    fmt::format("one that was asked for when the module was loaded, of at most {}", most_arguments));
    }
    std::array<ffi::AnyView, most_arguments> views;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        views[i] = view_of(arguments[i]);
    }
    const UseStream use(device, stream);
    if (state_->last_error != nullptr) {
        (void)state_->last_error();  // someone else's, if it is gone after it was asked for
        state_->check_runtime("before the call");
    }
    try {
        ffi::Any result;
        found->second.CallPacked(views.data(), static_cast<std::int32_t>(arguments.size()), &result);
    } catch (const ffi::Error& error) {
        throw Error(ErrorCode::plugin, fmt::format("{}.{}", state_->path.stem().string(), function),
                    fmt::format("{}: {}", error.kind(), error.message()), "a call that FlashInfer accepts");
    }
    state_->check_runtime("after the call");
}

namespace {

TVMFFIVersion version() {
    TVMFFIVersion found{};
    TVMFFIGetVersion(&found);
    return found;
}

}  // namespace

std::string tvm_ffi_version() {
    const TVMFFIVersion found = version();
    return fmt::format("{}.{}.{}", found.major, found.minor, found.patch);
}

std::string why_not_this_tvm_ffi() {
    const TVMFFIVersion found = version();
    const bool serves = found.major == 0 && found.minor == 1 && found.patch >= 6 && found.patch != 8;
    return serves ? std::string()
                  : fmt::format(
                        "libtvm_ffi {} is in this process: FlashInfer's modules need 0.1.6 or later, below 0.2, "
                        "and not 0.1.8",
                        tvm_ffi_version());
}

}  // namespace moegemm::flashinfer
