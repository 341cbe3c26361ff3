#include "spec.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/tensor.hpp>

namespace moegemm::python {
namespace {

template <class Names>
[[noreturn]] void refuse(std::string_view argument, const std::string& value, const Names& names) {
    throw Error(ErrorCode::invalid_argument, std::string(argument), value,
                fmt::format("one of {}", fmt::join(names, ", ")));
}

template <class Rows>
std::vector<std::string_view> names_of(const Rows& rows) {
    std::vector<std::string_view> names;
    names.reserve(rows.size());
    for (const auto& row : rows) {
        names.push_back(row.name);
    }
    return names;
}

DType dtype_or(const std::optional<std::string>& text, DType otherwise, std::string_view argument) {
    if (!text) {
        return otherwise;
    }
    const std::optional<DType> found = find_dtype(*text);
    if (!found) {
        refuse(argument, *text, names_of(dtypes));
    }
    return *found;
}

ScaleLayout layout_or(const std::optional<std::string>& text, ScaleLayout otherwise) {
    if (!text) {
        return otherwise;
    }
    const auto found = std::ranges::find(scale_layout_names, *text);
    if (found == scale_layout_names.end()) {
        refuse("scale_layout", *text, scale_layout_names);
    }
    return static_cast<ScaleLayout>(found - scale_layout_names.begin());
}

}  // namespace

GemmSpec typed_spec(const SpecTexts& texts) {
    const std::optional<Variant> variant = find_variant(texts.variant);
    if (!variant) {
        refuse("variant", texts.variant, names_of(variants));
    }
    const VariantInfo& row = info(*variant);
    GemmSpec spec;
    spec.variant = *variant;
    spec.a = dtype_or(texts.a_dtype, row.a, "a_dtype");
    spec.w = dtype_or(texts.w_dtype, row.w, "w_dtype");
    spec.dst = dtype_or(texts.dst_dtype, DType::bf16, "dst_dtype");
    spec.scale_layout = layout_or(texts.scale_layout, row.layouts[0]);
    spec.has_alpha = texts.has_alpha;
    return spec;
}

std::vector<TensorRow> tensor_rows(const GemmSpec& spec, std::int64_t rows) {
    if (rows < 0) {
        throw Error(ErrorCode::invalid_argument, "rows", std::to_string(rows), "0 or more");
    }
    std::vector<TensorRow> tensors;
    for (TensorSpec& tensor : tensor_specs(spec, rows)) {
        tensors.push_back({std::move(tensor.name), std::string(info(tensor.dtype).name), std::move(tensor.shape)});
    }
    return tensors;
}

}  // namespace moegemm::python
