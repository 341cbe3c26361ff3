#include "bench/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

#include <moegemm/error.hpp>
#include <moegemm/formats/bf16.hpp>
#include <moegemm/formats/f16.hpp>

namespace moegemm::bench {
namespace {

/// From here on a value rounds to infinity: half a unit in the last place past the type's largest number.
double overflow_threshold(DType dst) noexcept {
    switch (dst) {
        case DType::f16:
            return 65520.0;
        case DType::bf16:
            return std::ldexp(2.0 - std::ldexp(1.0, -8), 127);
        default:
            return std::ldexp(2.0 - std::ldexp(1.0, -24), 127);
    }
}

template <class Stored, class Decode>
void decode_all(const void* stored, std::span<double> values, Decode decode) {
    const auto* bytes = static_cast<const unsigned char*>(stored);
    for (std::size_t i = 0; i < values.size(); ++i) {
        Stored code;
        std::memcpy(&code, bytes + i * sizeof(Stored), sizeof(Stored));
        values[i] = static_cast<double>(decode(code));
    }
}

}  // namespace

void decode_elements(DType dst, const void* stored, std::span<double> values) {
    switch (dst) {
        case DType::bf16:
            return decode_all<std::uint16_t>(stored, values, formats::Bf16::decode);
        case DType::f16:
            return decode_all<std::uint16_t>(stored, values, formats::F16::decode);
        case DType::f32:
            return decode_all<float>(stored, values, [](float value) { return value; });
        default:
            throw Error(ErrorCode::invalid_argument, "dst_dtype", std::string(info(dst).name), "bf16, f16 or f32");
    }
}

Tolerance tolerance_for(DType dst, Accumulation accumulation) noexcept {
    if (accumulation == Accumulation::fast) {
        return {1e-2, 2e-2};
    }
    if (dst == DType::bf16) {
        return {3e-3, 6e-3};
    }
    if (accumulation == Accumulation::promoted_128) {
        return {1e-3, 2e-3};
    }
    return dst == DType::f16 ? Tolerance{4e-4, 1e-3} : Tolerance{1e-5, 3e-5};
}

Comparison::Comparison(DType dst, Tolerance tolerance) : dst_(dst), tolerance_(tolerance) {}

void Comparison::add_row(std::int64_t row, std::span<const std::int64_t> columns, std::span<const double> expected,
                         std::span<const double> actual, std::span<const double> magnitude) {
    const double threshold = overflow_threshold(dst_);
    double row_error = 0;
    double row_size = 0;
    std::size_t row_worst = 0;
    const auto describe = [&](std::size_t i) {
        return fmt::format("row {}, column {}: {} where {} is expected", row,
                           columns.empty() ? static_cast<std::int64_t>(i) : columns[i], actual[i], expected[i]);
    };
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double want = expected[i];
        const double have = actual[i];
        const bool overflows = std::abs(want) >= threshold;
        if (std::isnan(want) || std::isnan(have) || overflows || std::isinf(have)) {
            const bool same = std::isnan(want)
                                  ? std::isnan(have)
                                  : overflows && std::isinf(have) && std::signbit(want) == std::signbit(have);
            if (!same && special_.empty()) {
                special_ = describe(i);
            }
            continue;
        }
        const double error = std::abs(have - want);
        const double size = magnitude.empty() ? std::abs(want) : std::max(std::abs(want), magnitude[i]);
        error_squares_ += error * error;
        expected_squares_ += size * size;
        row_size = std::max(row_size, size);
        if (error > row_error) {
            row_error = error;
            row_worst = i;
        }
    }
    checked_ += static_cast<std::int64_t>(expected.size());
    if (row_error > 0) {
        const double relative = row_error / row_size;  // infinite where only zeros are expected
        if (relative > relative_max_) {
            relative_max_ = relative;
            worst_ = describe(row_worst);
        }
    }
}

double Comparison::relative_norm() const noexcept {
    return error_squares_ == 0 ? 0.0 : std::sqrt(error_squares_ / expected_squares_);
}

std::string Comparison::reason() const {
    if (!special_.empty()) {
        return special_;
    }
    if (!(relative_max_ <= tolerance_.relative_max)) {
        return fmt::format("relative_max {:.3g} > {:.3g}: {}", relative_max_, tolerance_.relative_max, worst_);
    }
    if (!(relative_norm() <= tolerance_.relative_norm)) {
        return fmt::format("relative_norm {:.3g} > {:.3g}; the worst is {}", relative_norm(), tolerance_.relative_norm,
                           worst_);
    }
    return {};
}

}  // namespace moegemm::bench
