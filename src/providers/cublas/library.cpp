#include "providers/cublas/library.hpp"

#include <string_view>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "provider/foreign_library.hpp"
#include "providers/cublas/support.hpp"

namespace moegemm::cublas {
namespace {

LibrarySearch search() {
    LibrarySearch search{"cuBLAS", "MOEGEMM_CUBLAS", {"libcublas.so.13", "libcublas.so.12"}, {}};
    for (const std::filesystem::path& packages : site_packages_folders()) {
        search.folders.push_back(packages / "nvidia/cu13/lib");
        search.folders.push_back(packages / "nvidia/cublas/lib");
    }
    search.folders.emplace_back("/usr/local/cuda/lib64");
    return search;
}

std::string_view meaning(api::Status status) {
    switch (status) {
        case 1:
            return "not initialised";
        case api::alloc_failed:
            return "allocation failed";
        case 7:
            return "invalid value";
        case 8:
            return "architecture mismatch";
        case 13:
            return "execution failed";
        case api::not_supported:
            return "not supported";
        default:
            return "another failure";
    }
}

using Property = api::Status(int which, int* value);

Version version_by(Property* property, const char* function) {
    Version version{};
    for (int i = 0; i < 3; ++i) {
        check(property(i, &version[static_cast<std::size_t>(i)]), function);
    }
    return version;
}

}  // namespace

std::shared_ptr<const Library> Library::load() {
    const ForeignLibrary file = ForeignLibrary::open(search());
    auto library = std::make_shared<Library>();
    Property* property = nullptr;
    file.need("cublasGetProperty", property);
    const Version version = version_by(property, "cublasGetProperty");
    library->version = fmt::format("{}.{}.{}", version[0], version[1], version[2]);
    if (version < Version{12, 5, 0}) {
        throw Error(ErrorCode::unsupported, "cuBLAS", fmt::format("{}: version {}", file.path(), library->version),
                    "version 12.5 or later, which has grouped products of bf16");
    }
    file.need("cublasCreate_v2", library->create);
    file.need("cublasDestroy_v2", library->destroy);
    file.need("cublasSetStream_v2", library->set_stream);
    file.need("cublasSetWorkspace_v2", library->set_workspace);
    file.need("cublasGemmGroupedBatchedEx", library->grouped_gemm);
    // cuBLASLt is another file: the loader may have taken one of another version, which the process had already.
    Property* lt_property = nullptr;
    file.need("cublasLtGetProperty", lt_property);
    if (has_sound_lt(version_by(lt_property, "cublasLtGetProperty"))) {
        LtFunctions& lt = library->lt.emplace();
        file.need("cublasLtCreate", lt.create);
        file.need("cublasLtDestroy", lt.destroy);
        file.need("cublasLtMatmulDescCreate", lt.create_matmul);
        file.need("cublasLtMatmulDescDestroy", lt.destroy_matmul);
        file.need("cublasLtMatmulDescSetAttribute", lt.set_matmul);
        file.need("cublasLtGroupedMatrixLayoutCreate", lt.create_layout);
        file.need("cublasLtMatrixLayoutDestroy", lt.destroy_layout);
        file.need("cublasLtMatmulPreferenceCreate", lt.create_preference);
        file.need("cublasLtMatmulPreferenceDestroy", lt.destroy_preference);
        file.need("cublasLtMatmulPreferenceSetAttribute", lt.set_preference);
        file.need("cublasLtMatmulAlgoGetHeuristic", lt.choose);
        file.need("cublasLtMatmul", lt.multiply);
    }
    return library;
}

void check(api::Status status, const char* function) {
    if (status == 0) {
        return;
    }
    const ErrorCode code = status == api::not_supported  ? ErrorCode::unsupported
                           : status == api::alloc_failed ? ErrorCode::out_of_memory
                                                         : ErrorCode::internal;
    throw Error(code, function, fmt::format("status {} ({})", status, meaning(status)), "status 0");
}

}  // namespace moegemm::cublas
