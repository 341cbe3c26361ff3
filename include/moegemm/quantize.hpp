/// \file
/// f32 matrices to each variant's tensors, by the natural scheme: the largest magnitude of what shares a scale maps to
/// the format's largest value.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <moegemm/problem.hpp>

namespace moegemm {

/// One quantised operand: bytes in the contract's layouts.
struct QuantizedOperand {
    std::vector<std::uint8_t> values;  ///< stored elements, row-major
    std::vector<std::uint8_t>
        scales;                ///< f32 or one-byte scales in the spec's layout; empty where the variant has none
    std::vector<float> alpha;  ///< the factor(s) by which the result must be multiplied for this operand; empty if none
};

/// Quantises A, (M, K) row-major f32, for `problem`.
///
/// Schemes: bf16 rounds; int8 and fp8_token scale a row by amax/127 or amax/max; fp8 scales the whole tensor, and
/// `alpha` has one entry; fp8_block scales 1×128 blocks; mx variants take 2^(floor(log2 amax) − emax) per group of 32
/// (OCP MX v1.0, section 6.3); nvfp4 takes e4m3(amax/6) per group of 16 below one f32 factor for the whole tensor,
/// amax/(6·448), which `alpha` holds. Where the spec has no alpha, the factor of fp8 and nvfp4 is 1. A row, block,
/// group or tensor of zeros gets scale 1; a scale that would underflow is the smallest number above 0. Magnitudes
/// beyond the element's largest saturate, but for bf16, which rounds to infinity. Padding of scales is 0.
/// \throws Error invalid_argument ("scatter_tokens") for a wrong size or a value that is not finite
[[nodiscard]] QuantizedOperand quantize_tokens(const Problem& problem, std::span<const float> values);

/// Quantises W, (E, N, K) row-major f32: rows are (e, n); fp8_block has 128×128 blocks; fp8's tensor factor spans all
/// experts, nvfp4's is one an expert (`alpha` has E entries).
/// \throws Error as GemmSpec::check; invalid_argument ("experts_weight") as above
[[nodiscard]] QuantizedOperand quantize_weights(const GemmSpec& spec, std::span<const float> values);

/// The op's alpha from both operands' factors: (1) for fp8, (E) for nvfp4 and nvfp4_a16; empty where the variant has
/// none.
[[nodiscard]] std::vector<float> combine_alpha(const GemmSpec& spec, const QuantizedOperand& a,
                                               const QuantizedOperand& w);

}  // namespace moegemm
