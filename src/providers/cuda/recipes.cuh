/// \file
/// The recipes that are compiled: one a variant, and a second one where e5m2 may stand in for e4m3.
#pragma once

#include "providers/cuda/kernels.hpp"
#include "providers/cuda/recipe.cuh"

namespace moegemm::cuda {
namespace recipes {

// A table that reads by columns.
// clang-format off
//                              weights           tokens            math        scales enter        their code        group
using Bf16           = Recipe<Bf16Element,      Bf16Element,      Math::bf16>;
using Int8           = Recipe<S8Element,        S8Element,        Math::s8>;
using Fp8            = Recipe<E4m3Element,      E4m3Element,      Math::f16>;
using Fp8Either      = Recipe<EitherFp8Element, EitherFp8Element, Math::f16>;
using Fp8Block       = Recipe<E4m3Element,      E4m3Element,      Math::f16,  ScaleAt::sums,     ScaleCode::f32,   128>;
using Fp8BlockEither = Recipe<EitherFp8Element, EitherFp8Element, Math::f16,  ScaleAt::sums,     ScaleCode::f32,   128>;
using Mxfp8          = Recipe<E4m3Element,      E4m3Element,      Math::f16,  ScaleAt::sums,     ScaleCode::ue8m0, 32>;
using Mxfp8Either    = Recipe<EitherFp8Element, EitherFp8Element, Math::f16,  ScaleAt::sums,     ScaleCode::ue8m0, 32>;
using Mxfp4          = Recipe<E2m1Element,      E4m3Element,      Math::f16,  ScaleAt::sums,     ScaleCode::ue8m0, 32>;
using Mxfp4Either    = Recipe<E2m1Element,      EitherFp8Element, Math::f16,  ScaleAt::sums,     ScaleCode::ue8m0, 32>;
using Mxfp4A4        = Recipe<E2m1Element,      E2m1Element,      Math::bf16, ScaleAt::operands, ScaleCode::ue8m0, 32>;
using Mxfp4A16       = Recipe<E2m1Element,      Bf16Element,      Math::bf16, ScaleAt::operands, ScaleCode::ue8m0, 32>;
using Nvfp4          = Recipe<SmallE2m1Element, SmallE2m1Element, Math::bf16, ScaleAt::operands, ScaleCode::ue4m3, 16>;
using Nvfp4A16       = Recipe<SmallE2m1Element, Bf16Element,      Math::bf16, ScaleAt::operands, ScaleCode::ue4m3, 16>;
// clang-format on

}  // namespace recipes

/// The kernels of a recipe; explicitly instantiated in the files of kernels/, a few recipes each, to be compiled side
/// by side.
template <class R>
Kernels kernels_of();

}  // namespace moegemm::cuda
