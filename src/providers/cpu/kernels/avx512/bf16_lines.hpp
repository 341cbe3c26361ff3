/// \file
/// Decoding to bf16, and of weights to f32 that is bf16, with AVX-512 F, BW, DQ and VL, for kernels that multiply it.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

extern const Bf16Decoders avx512_bf16_decoders;
/// To lines of f32.
extern const Bf16Decoders avx512_f32_decoders;

}  // namespace moegemm::cpu
