/// \file
/// One dense product by cuBLASLt: what the tensor cores give without experts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <moegemm/dtype.hpp>

#include "bench/cuda/call_timer.hpp"
#include "bench/cuda/stream.hpp"

namespace moegemm::bench::cuda {

/// Measures y (M, N) bf16 = A (M, K) · W (N, K)ᵀ of one element type, accumulated in float32 (fast accumulation off).
class DenseProduct {
public:
    /// Loads cuBLASLt where it is installed. \param stream, timer must outlive the object
    DenseProduct(const Stream& stream, CallTimer& timer);
    ~DenseProduct();
    DenseProduct(const DenseProduct&) = delete;
    DenseProduct& operator=(const DenseProduct&) = delete;

    /// The median of the fastest of the library's suggestions, on random operands.
    /// \param element bf16 or e4m3
    /// \return nothing where cuBLASLt is missing, refuses the shape, or there is too little memory
    [[nodiscard]] std::optional<double> microseconds(std::int64_t m, std::int64_t n, std::int64_t k, DType element,
                                                     CacheRule rule);

private:
    struct Library;
    std::unique_ptr<Library> library_;  ///< null where there is none
    const Stream& stream_;
    CallTimer& timer_;
};

}  // namespace moegemm::bench::cuda
