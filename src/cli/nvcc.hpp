/// \file
/// The nvcc that a build here would use.
#pragma once

#include <filesystem>
#include <string>

namespace moegemm::cli {

struct Nvcc {
    std::string file;     ///< empty where there is none that will do
    std::string release;  ///< "13.0"
    std::string reason;   ///< why there is none, and which command would change that; empty where there is one
};

/// Looks where cmake/MoegemmNvcc.cmake does: what CUDACXX names, else the first that is new enough of the one that
/// `./dev cuda` fetched, those on the PATH, and /usr/local/cuda.
/// \param program_folder where this program lies: beside or in a checkout's build folder, that is where `./dev cuda`
/// puts
///                       its own
[[nodiscard]] Nvcc find_nvcc(const std::filesystem::path& program_folder);

}  // namespace moegemm::cli
