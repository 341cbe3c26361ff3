/// \file
/// What a compiled module says of itself before it is loaded. FlashInfer's module for SM90 ends the process where its
/// kernels are not for the GPU, and a cut-off library ends it while it is mapped: both are found here, by reading.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace moegemm::flashinfer {

/// Code for one architecture in a library.
struct DeviceCode {
    int capability;  ///< 90 is 9.0
    bool ptx;        ///< that a driver compiles for this and later ones; else machine code
    friend bool operator==(const DeviceCode&, const DeviceCode&) = default;
};

/// Reads a shared library's headers.
/// \return the device code that it holds, each architecture once; none for a library of host code
/// \throws Error plugin naming the file: not there, not a shared library of this machine's, cut off
[[nodiscard]] std::vector<DeviceCode> read_module_file(const std::filesystem::path& path);

/// Whether a GPU runs any of it.
[[nodiscard]] bool runs_on(const std::vector<DeviceCode>& code, int capability) noexcept;

/// "sm_90 sm_100 compute_120", for messages.
[[nodiscard]] std::string text_of(const std::vector<DeviceCode>& code);

}  // namespace moegemm::flashinfer
