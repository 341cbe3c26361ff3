/// \file
/// GemmSpec and PlanOptions to their C forms and back.
#pragma once

#include <moegemm/abi.h>
#include <moegemm/provider.hpp>

namespace moegemm {

/// The C form of a spec; its texts are literals of the tables.
[[nodiscard]] moegemm_spec to_abi(const GemmSpec& spec) noexcept;

/// A caller's spec, checked (GemmSpec::check).
/// \throws Error invalid_argument naming the field: a null pointer, a struct_size that is too small, a text that names
///         nothing; and as GemmSpec::check
[[nodiscard]] GemmSpec from_abi(const moegemm_spec* given);

/// The C form of options; `kernel` points into `options`.
[[nodiscard]] moegemm_plan_options to_abi(const PlanOptions& options) noexcept;

/// \throws Error invalid_argument for a null pointer or a struct_size that is too small
[[nodiscard]] PlanOptions from_abi(const moegemm_plan_options* given);

/// A variant by the name that crossed the border.
/// \throws Error invalid_argument naming `argument`
[[nodiscard]] Variant variant_from_abi(const char* name, std::string_view argument);

}  // namespace moegemm
