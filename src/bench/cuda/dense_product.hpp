/// \file
/// One dense product by cuBLASLt: what the tensor cores give without experts.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <moegemm/dtype.hpp>

#include "bench/cuda/call_timer.hpp"
#include "bench/cuda/stream.hpp"

namespace moegemm::bench::cuda {

/// Measures y (M, N) bf16 = A (M, K) · W (N, K)ᵀ of one element type, accumulated in float32 (fast accumulation off),
/// by the fastest of the library's suggestions, on random operands. What was found once for a shape is remembered.
class DenseProduct {
public:
    struct Shape {
        std::int64_t m;
        std::int64_t n;
        std::int64_t k;
        DType element;  ///< bf16 or e4m3
        auto operator<=>(const Shape&) const = default;
    };

    /// Loads cuBLASLt where it is installed. \param stream, timer must outlive the object
    DenseProduct(const Stream& stream, CallTimer& timer);
    ~DenseProduct();
    DenseProduct(const DenseProduct&) = delete;
    DenseProduct& operator=(const DenseProduct&) = delete;

    /// The median. \return nothing where cuBLASLt is missing, refuses the shape, or there is too little memory
    [[nodiscard]] std::optional<double> microseconds(const Shape& shape, CacheRule rule);

    /// \return times one product, in µs, and keeps its operands as long as it lives, which this object must outlive;
    ///         empty where microseconds() is nothing
    /// \throws Error out_of_memory
    [[nodiscard]] std::function<double()> sampler(const Shape& shape, CacheRule rule);

private:
    struct Library;
    class Call;
    struct Found;
    [[nodiscard]] const Found* find(const Shape& shape, CacheRule rule);
    [[nodiscard]] std::unique_ptr<const Found> measure(const Shape& shape, CacheRule rule);

    std::unique_ptr<Library> library_;  ///< null where there is none
    const Stream& stream_;
    CallTimer& timer_;
    std::map<std::pair<Shape, CacheRule>, std::unique_ptr<const Found>> known_;  ///< null where there is no product
};

}  // namespace moegemm::bench::cuda
