/// \file
/// cuBLASLt's grouped product of bf16, which reads row counts on the device.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

#include <moegemm/problem.hpp>

#include "providers/cublas/device_groups.hpp"
#include "providers/cublas/library.hpp"

namespace moegemm::cublas {

/// Any number of threads may run one.
class LtProduct {
public:
    /// \param library with cuBLASLt's functions
    LtProduct(const GemmSpec& spec, std::shared_ptr<const Library> library);
    ~LtProduct();
    LtProduct(const LtProduct&) = delete;
    LtProduct& operator=(const LtProduct&) = delete;

    /// \param workspace of cuBLASLt's, `bytes` of it, the same number in every call
    /// \throws Error unsupported where cuBLASLt has no kernel for the GPU and the sizes
    void run(const DeviceGroups& groups, void* workspace, std::size_t bytes, api::Stream stream);

private:
    /// The matrices of a call; cuBLAS reads them column by column, so that W is (K, N), to be transposed, A (K, rows).
    struct Layouts;
    [[nodiscard]] api::Algorithm chosen(const Layouts& layouts, std::size_t bytes);

    GemmSpec spec_;
    std::shared_ptr<const Library> library_;
    api::LtHandle handle_ = nullptr;
    api::MatmulDesc matmul_ = nullptr;
    std::once_flag once_;
    api::Algorithm algorithm_{};  ///< that the first call chose
};

}  // namespace moegemm::cublas
