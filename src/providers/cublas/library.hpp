/// \file
/// cuBLAS, loaded at run time: what is used of its C interface.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace moegemm::cublas {

/// cuBLAS's C interface (cublas_api.h, the same in versions 12.5 to 13) as far as it is used. The header comes with the
/// library, which need not be installed where this is built. Functions return 0 where they succeeded.
namespace api {

using Handle = struct HandleObject*;
using Stream = void*;  ///< a cudaStream_t
using Status = int;

constexpr Status alloc_failed = 3;
constexpr Status not_supported = 15;
constexpr int no_transpose = 0;
constexpr int transpose = 1;
constexpr int type_16bf = 14;    // CUDA_R_16BF
constexpr int compute_32f = 68;  // CUBLAS_COMPUTE_32F

}  // namespace api

/// The loaded library.
struct Library {
    std::string version;  ///< "13.1.0"

    api::Status (*create)(api::Handle*) = nullptr;
    api::Status (*destroy)(api::Handle) = nullptr;
    api::Status (*set_stream)(api::Handle, api::Stream) = nullptr;
    api::Status (*set_workspace)(api::Handle, void*, std::size_t bytes) = nullptr;
    /// Column by column; the pointers lie on the device, all else on the host, with an entry for each group.
    api::Status (*grouped_gemm)(api::Handle, const int* transposes_a, const int* transposes_b, const int* m,
                                const int* n, const int* k, const void* alpha, const void* const* a, int a_type,
                                const int* lda, const void* const* b, int b_type, const int* ldb, const void* beta,
                                void* const* c, int c_type, const int* ldc, int groups, const int* group_sizes,
                                int compute_type) = nullptr;

    /// \throws Error unsupported: not found, not loadable, or without the grouped product (which came with 12.5)
    [[nodiscard]] static std::shared_ptr<const Library> load();
};

/// \param function the name of what returned `status`
/// \throws Error unsupported, out_of_memory or internal where that is not 0
void check(api::Status status, const char* function);

}  // namespace moegemm::cublas
