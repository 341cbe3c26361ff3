/// \file
/// cuBLAS, loaded at run time: what is used of its C interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
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

// cuBLASLt's (cublasLt.h, the same in 13.4 to 13.10). Its objects are known by their addresses only.
using LtHandle = struct LtHandleObject*;
using MatmulDesc = struct MatmulDescObject*;
using MatrixLayout = struct MatrixLayoutObject*;
using Preference = struct PreferenceObject*;

constexpr int type_32f = 0;             // CUDA_R_32F
constexpr int matmul_pointer_mode = 2;  // CUBLASLT_MATMUL_DESC_POINTER_MODE, int32
constexpr int matmul_transpose_a = 3;   // CUBLASLT_MATMUL_DESC_TRANSA, int32
constexpr std::int32_t pointers_on_device = 1;
constexpr int preference_workspace = 1;      // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64
constexpr int preference_average_k = 13;     // CUBLASLT_MATMUL_PREF_GROUPED_AVERAGE_REDUCTION_DIM
constexpr int preference_average_rows = 14;  // CUBLASLT_MATMUL_PREF_GROUPED_DESC_D_AVERAGE_ROWS
constexpr int preference_average_columns = 15;
// The three take int64, whatever the header says.

struct Algorithm {
    std::uint64_t data[8];
};
struct HeuristicResult {
    Algorithm algorithm;
    std::size_t workspace_bytes;
    Status state;
    float waves;
    int reserved[4];
};

}  // namespace api

/// cuBLASLt's functions, as far as its grouped products use them.
struct LtFunctions {
    api::Status (*create)(api::LtHandle*) = nullptr;
    api::Status (*destroy)(api::LtHandle) = nullptr;
    api::Status (*create_matmul)(api::MatmulDesc*, int compute_type, int scale_type) = nullptr;
    api::Status (*destroy_matmul)(api::MatmulDesc) = nullptr;
    api::Status (*set_matmul)(api::MatmulDesc, int attribute, const void* value, std::size_t bytes) = nullptr;
    /// The arrays lie on the device: rows, columns and column strides of every group's matrix, int32.
    api::Status (*create_layout)(api::MatrixLayout*, int type, int groups, const void* rows, const void* columns,
                                 const void* strides) = nullptr;
    api::Status (*destroy_layout)(api::MatrixLayout) = nullptr;
    api::Status (*create_preference)(api::Preference*) = nullptr;
    api::Status (*destroy_preference)(api::Preference) = nullptr;
    api::Status (*set_preference)(api::Preference, int attribute, const void* value, std::size_t bytes) = nullptr;
    api::Status (*choose)(api::LtHandle, api::MatmulDesc, api::MatrixLayout a, api::MatrixLayout b, api::MatrixLayout c,
                          api::MatrixLayout d, api::Preference, int at_most, api::HeuristicResult* results,
                          int* found) = nullptr;
    /// a, b, c and d are arrays of addresses on the device.
    api::Status (*multiply)(api::LtHandle, api::MatmulDesc, const void* alpha, const void* a, api::MatrixLayout,
                            const void* b, api::MatrixLayout, const void* beta, const void* c, api::MatrixLayout,
                            void* d, api::MatrixLayout, const api::Algorithm*, void* workspace, std::size_t bytes,
                            api::Stream) = nullptr;
};

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
    /// Where cuBLASLt's version is one that has_sound_lt takes.
    std::optional<LtFunctions> lt;

    /// \throws Error unsupported: not found, not loadable, or without the grouped product (which came with 12.5)
    [[nodiscard]] static std::shared_ptr<const Library> load();
};

/// \param function the name of what returned `status`
/// \throws Error unsupported, out_of_memory or internal where that is not 0
void check(api::Status status, const char* function);

}  // namespace moegemm::cublas
