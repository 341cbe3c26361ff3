#include "op/random/logarithm.hpp"

#include <bit>
#include <cfloat>

namespace moegemm {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "every operation rounds to double; x87 arithmetic would give other bits");

struct Interval {
    double inverse;  ///< c, 20 bits
    double minus_log_inverse;
};
constexpr Interval intervals[128] = {
#include "op/random/logarithm_table.inc"
};

/// 0.6875 as bits: the reduced argument lies in [0.6875, 1.375).
constexpr std::uint64_t lowest = 0x3FE6000000000000U;

/// ln 2 in two parts, the first with 42 bits, so that its product with any exponent is exact.
constexpr double ln2_high = 0x1.62e42fefa38p-1;
constexpr double ln2_low = 0x1.ef35793c7673p-45;

/// ln(1 + r) − r for |r| ≤ 2^-7, by its Taylor series: the first term left out is below 2^-58·r.
double log1p_tail(double r) noexcept {
    double sum = -1.0 / 8.0;
    sum = sum * r + 1.0 / 7.0;
    sum = sum * r - 1.0 / 6.0;
    sum = sum * r + 1.0 / 5.0;
    sum = sum * r - 1.0 / 4.0;
    sum = sum * r + 1.0 / 3.0;
    sum = sum * r - 1.0 / 2.0;
    return sum * r * r;
}

}  // namespace

double deterministic_log(double x) noexcept {
    // x = 2^k · z with z in an interval around which 1/z is known as c: ln x = k·ln 2 − ln c + ln(1 + (z·c − 1)).
    const auto bits = std::bit_cast<std::uint64_t>(x);
    const std::uint64_t offset = bits - lowest;
    const auto k = static_cast<double>(static_cast<std::int64_t>(offset) >> 52);
    const Interval& interval = intervals[(offset >> 45) & 127U];
    const std::uint64_t z_bits = bits - (offset & 0xFFF0000000000000U);
    const auto z = std::bit_cast<double>(z_bits);
    // The product of z's upper 32 bits and c's 20 is exact, and so is all of r but its last addition.
    const auto z_high = std::bit_cast<double>(z_bits & ~std::uint64_t{0x1FFFFF});
    const double r = (z_high * interval.inverse - 1.0) + (z - z_high) * interval.inverse;
    const double high = k * ln2_high + interval.minus_log_inverse;
    return high + (r + (log1p_tail(r) + k * ln2_low));
}

double gumbel(std::uint32_t bits) noexcept {
    const double uniform = (static_cast<double>(bits) + 0.5) * 0x1p-32;  // exact
    return -deterministic_log(-deterministic_log(uniform));
}

}  // namespace moegemm
