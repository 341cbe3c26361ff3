#include "providers/cudnn/library.hpp"

#include <fmt/format.h>

#include <moegemm/error.hpp>

namespace moegemm::cudnn {
namespace {

constexpr std::size_t least_number = 91800;

LibrarySearch search() {
    LibrarySearch search{"cuDNN", "MOEGEMM_CUDNN", {"libcudnn.so.9"}, {}};
    if (const std::filesystem::path folder = program_folder(); !folder.empty()) {
        search.folders.push_back((folder / "../cudnn/lib").lexically_normal());  // of a checkout: ./dev cudnn
    }
    for (const std::filesystem::path& packages : site_packages_folders()) {
        search.folders.push_back(packages / "nvidia/cudnn/lib");
    }
    search.folders.emplace_back("/usr/local/cuda/lib64");
    return search;
}

}  // namespace

Library Library::load() {
    ForeignLibrary file = ForeignLibrary::open(search());
    std::size_t (*version)() = nullptr;
    file.need("cudnnGetVersion", version);
    const std::size_t number = version();
    std::string text = fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
    if (number < least_number || number >= 100000) {
        throw Error(ErrorCode::unsupported, "cuDNN", fmt::format("{}: version {}", file.path(), text),
                    "version 9.18 or later of 9, which has the MoE grouped matmul");
    }
    file.need("cudnnBackendExecute", version);
    return {std::move(file), number, std::move(text)};
}

}  // namespace moegemm::cudnn
