/// \file
/// A compiled module of FlashInfer's, loaded by Apache TVM-FFI. The only file that knows TVM-FFI is module.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include <dlpack/dlpack.h>

namespace moegemm::flashinfer {

/// What FlashInfer's functions take.
using Argument = std::variant<const DLTensor*, std::int64_t, bool, const char*>;

class Module {
public:
    /// Loads a module and everything that it needs. It stays in the process: CUDA's runtime knows of its code.
    /// \param functions that it has to export
    /// \throws Error plugin naming the file: a library that it lacks, a symbol that nobody offers, a function that it
    /// does not export
    Module(const std::filesystem::path& given, std::span<const std::string_view> functions);
    ~Module();
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const noexcept;

    /// Calls a function on a stream. Thread-safe.
    /// \throws Error plugin with what FlashInfer refuses, and with launches that failed, which it does not report
    void call(std::string_view function, std::span<const Argument> arguments, DLDevice device, void* stream) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The version of libtvm_ffi in this process: "0.1.15".
[[nodiscard]] std::string tvm_ffi_version();

/// Why that version does not do; empty where it does.
[[nodiscard]] std::string why_not_this_tvm_ffi();

}  // namespace moegemm::flashinfer
