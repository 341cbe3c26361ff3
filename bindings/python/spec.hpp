/// \file
/// What Python spells as text and numbers, as a spec of the library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <moegemm/problem.hpp>

namespace moegemm::python {

/// What a spec's fields may be given as; absent ones are the variant's defaults.
struct SpecTexts {
    std::string variant;
    std::optional<std::string> a_dtype;
    std::optional<std::string> w_dtype;
    std::optional<std::string> dst_dtype;
    std::optional<std::string> scale_layout;
    bool has_alpha = false;
};

/// A spec of these types and no extents yet.
/// \throws Error invalid_argument for a name that is none
[[nodiscard]] GemmSpec typed_spec(const SpecTexts& texts);

}  // namespace moegemm::python
