/// \file
/// Sizes that are computed from what a user gave: products and sums that say so when they leave 63 bits.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <moegemm/error.hpp>

namespace moegemm {

/// `left · right` for non-negative sizes.
/// \param what the name of what is computed, for the message: a tensor, "flops", …
/// \throws Error overflow
[[nodiscard]] inline std::int64_t checked_mul(std::int64_t left, std::int64_t right, std::string_view what) {
    std::int64_t product = 0;
    if (__builtin_mul_overflow(left, right, &product)) {
        throw Error(ErrorCode::overflow, std::string(what), std::to_string(left) + " * " + std::to_string(right),
                    "a product below 2^63");
    }
    return product;
}

/// The product of all factors; 1 for none.
/// \throws Error overflow, also where a factor after the overflow would be 0: no size of a tensor may depend on that
[[nodiscard]] inline std::int64_t checked_mul(std::initializer_list<std::int64_t> factors, std::string_view what) {
    std::int64_t product = 1;
    for (const std::int64_t factor : factors) {
        product = checked_mul(product, factor, what);
    }
    return product;
}

/// `left + right` for non-negative sizes.
/// \throws Error overflow
[[nodiscard]] inline std::int64_t checked_add(std::int64_t left, std::int64_t right, std::string_view what) {
    std::int64_t sum = 0;
    if (__builtin_add_overflow(left, right, &sum)) {
        throw Error(ErrorCode::overflow, std::string(what), std::to_string(left) + " + " + std::to_string(right),
                    "a sum below 2^63");
    }
    return sum;
}

}  // namespace moegemm
