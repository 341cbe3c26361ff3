/// \file
/// What Python spells as text and numbers, as a spec of the library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

/// A tensor of a call, for callers that allocate.
struct TensorRow {
    std::string name;
    std::string dtype;
    std::vector<std::int64_t> shape;
};

/// The tensors of a call with so many rows of A.
/// \throws Error invalid_argument for a negative number of rows; overflow
[[nodiscard]] std::vector<TensorRow> tensor_rows(const GemmSpec& spec, std::int64_t rows);

}  // namespace moegemm::python
