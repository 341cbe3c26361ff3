/// \file
/// Whether an output conforms: the rule of the conformance data, used by the benchmark and by `moegemm verify`.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <moegemm/provider.hpp>

namespace moegemm::bench {

/// How far an output may be from the reference.
struct Tolerance {
    double relative_norm;  ///< ‖y − expected‖ ≤ relative_norm · ‖expected‖, Euclidean, over everything compared
    double relative_max;  ///< in every row max |y − expected| ≤ relative_max · max |expected|
};

/// The benchmark's own: one rounding to the dst type and an accumulation as the provider declares it.
[[nodiscard]] Tolerance tolerance_for(DType dst, Accumulation accumulation) noexcept;

/// Stored elements of y as numbers. \param dst bf16, f16 or f32
/// \throws Error invalid_argument ("dst_dtype") for another type
void decode_elements(DType dst, const void* stored, std::span<double> values);

/// Takes expected and actual values row by row and says whether they conform:
/// NaN exactly where NaN is expected; an infinity of the same sign exactly where the expected value rounds to one in
/// the dst type; over the other elements the two relative errors.
class Comparison {
public:
    Comparison(DType dst, Tolerance tolerance);

    /// One row of y, or chosen columns of it.
    /// \param row       for messages
    /// \param columns   of the values, for messages; empty: 0, 1, 2, …
    /// \param expected  before rounding
    /// \param magnitude natural sizes of the values that count where they exceed |expected|: a row of few columns may
    ///                  cancel to nearly nothing, and then its rounding errors are large only in relation to that;
    ///                  empty: none
    void add_row(std::int64_t row, std::span<const std::int64_t> columns, std::span<const double> expected,
                 std::span<const double> actual, std::span<const double> magnitude = {});

    [[nodiscard]] std::int64_t checked() const noexcept { return checked_; }
    /// 0 where all of it is equal; infinite where something differs and nothing but zeros is expected.
    [[nodiscard]] double relative_norm() const noexcept;
    [[nodiscard]] double relative_max() const noexcept { return relative_max_; }
    [[nodiscard]] bool passed() const noexcept { return reason().empty(); }
    /// One sentence on what does not conform, with the worst or first element; empty where all of it does.
    [[nodiscard]] std::string reason() const;

private:
    DType dst_;
    Tolerance tolerance_;
    std::int64_t checked_ = 0;
    double error_squares_ = 0;
    double expected_squares_ = 0;
    double relative_max_ = 0;
    std::string worst_;    ///< the element behind relative_max_
    std::string special_;  ///< the first NaN or infinity that is missing or out of place
};

}  // namespace moegemm::bench
