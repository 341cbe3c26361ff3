#include "providers/hopper/tensor_map.hpp"

#include <cuda_runtime_api.h>

#include <array>
#include <string>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "providers/hopper/kernels/fragment.hpp"

namespace moegemm::hopper {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// Fetched from the driver at run time: nothing is linked with it.
Encode encoder() {
    static const Encode function = [] {
        void* found = nullptr;
        cudaDriverEntryPointQueryResult result{};
        cuda::check(
            cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result),
            "cudaGetDriverEntryPoint of cuTensorMapEncodeTiled");
        if (result != cudaDriverEntryPointSuccess || found == nullptr) {
            throw Error(ErrorCode::internal, "cuTensorMapEncodeTiled", "not in this driver",
                        "a driver of CUDA 12 or later");
        }
        return reinterpret_cast<Encode>(found);
    }();
    return function;
}

CUtensorMapDataType map_type(DType dtype) {
    switch (dtype) {
        case DType::bf16:
            return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
        case DType::f16:
            return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
        default:
            return CU_TENSOR_MAP_DATA_TYPE_UINT8;
    }
}

cuuint64_t elements_of_chunk(DType dtype) { return static_cast<cuuint64_t>(row_bytes / info(dtype).bytes); }

template <std::size_t rank>
CUtensorMap encode(const void* base, DType dtype, const std::array<cuuint64_t, rank>& extents,
                   const std::array<cuuint64_t, rank - 1>& strides, const std::array<cuuint32_t, rank>& box) {
    std::array<cuuint32_t, rank> steps{};
    steps.fill(1);
    CUtensorMap map;
    // 128 bytes are what one request of the swizzled rows asks for: longer promotion read 7 % slower.
    const CUresult result =
        encoder()(&map, map_type(dtype), rank, const_cast<void*>(base), extents.data(), strides.data(), box.data(),
                  steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS) {
        throw Error(ErrorCode::internal, "cuTensorMapEncodeTiled", std::to_string(static_cast<int>(result)),
                    "CUDA_SUCCESS");
    }
    return map;
}

/// Of a contiguous tensor, in boxes of `box_rows` rows × 128 bytes.
template <std::size_t rank>
CUtensorMap encode(const void* base, DType dtype, const std::array<cuuint64_t, rank>& extents, int box_rows) {
    std::array<cuuint64_t, rank - 1> strides{};
    auto stride = static_cast<cuuint64_t>(info(dtype).bytes);
    for (std::size_t i = 0; i + 1 < rank; ++i) {
        stride *= extents[i];
        strides[i] = stride;
    }
    std::array<cuuint32_t, rank> box{};
    box.fill(1);
    box[0] = static_cast<cuuint32_t>(elements_of_chunk(dtype));
    box[1] = static_cast<cuuint32_t>(box_rows);
    return encode<rank>(base, dtype, extents, strides, box);
}

}  // namespace

void require_tensor_maps() { (void)encoder(); }

CUtensorMap matrix_map(const void* base, DType dtype, std::int64_t rows, std::int64_t columns, int box_rows) {
    return encode<2>(base, dtype, {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)}, box_rows);
}

CUtensorMap matrices_map(const void* base, DType dtype, std::int64_t matrices, std::int64_t rows, std::int64_t columns,
                         int box_rows) {
    return encode<3>(
        base, dtype,
        {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows), static_cast<cuuint64_t>(matrices)}, box_rows);
}

bool has_whole_chunks(DType dtype, std::int64_t columns) {
    return columns % static_cast<std::int64_t>(elements_of_chunk(dtype)) == 0;
}

CUtensorMap chunks_map(const void* base, DType dtype, std::int64_t rows, std::int64_t columns, int box_rows,
                       int box_chunks) {
    const cuuint64_t chunk = elements_of_chunk(dtype);
    const auto columns_of_row = static_cast<cuuint64_t>(columns);
    return encode<3>(
        base, dtype, {chunk, static_cast<cuuint64_t>(rows), columns_of_row / chunk},
        {columns_of_row * static_cast<cuuint64_t>(info(dtype).bytes), row_bytes},
        {static_cast<cuuint32_t>(chunk), static_cast<cuuint32_t>(box_rows), static_cast<cuuint32_t>(box_chunks)});
}

}  // namespace moegemm::hopper
