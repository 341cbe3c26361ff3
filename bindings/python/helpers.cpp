#include "helpers.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/quantize.hpp>
#include <moegemm/scale_layout.hpp>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "spec.hpp"
#include "tensor_view.hpp"

namespace nb = nanobind;

namespace moegemm::python {
namespace {

using Array = nb::ndarray<nb::numpy>;
using Text = std::optional<std::string>;

/// NumPy's type for stored elements that it has none of its own for: whole numbers of their width.
nb::dlpack::dtype numpy_type(DType dtype) {
    switch (dtype) {
        case DType::bf16:
            return nb::dtype<std::uint16_t>();
        case DType::i8:
            return nb::dtype<std::int8_t>();
        case DType::f32:
            return nb::dtype<float>();
        default:
            return nb::dtype<std::uint8_t>();
    }
}

/// A vector's memory as an array, without a copy.
template <class Value>
Array to_array(std::vector<Value> values, std::span<const std::int64_t> shape, nb::dlpack::dtype type) {
    auto owned = std::make_unique<std::vector<Value>>(std::move(values));
    const std::vector<std::size_t> extents(shape.begin(), shape.end());
    void* const data = owned->data();
    const nb::capsule owner(owned.release(),
                            [](void* memory) noexcept { delete static_cast<std::vector<Value>*>(memory); });
    return Array(data, extents.size(), extents.data(), owner, nullptr, type, nb::device::cpu::value, 0);
}

template <class Value>
Array to_array(std::vector<Value> values) {
    const auto size = static_cast<std::int64_t>(values.size());
    return to_array(std::move(values), {&size, 1}, nb::dtype<Value>());
}

/// What the host can read of a tensor.
template <class Value>
std::span<const Value> host_values(const TensorView& view, DType dtype, std::size_t rank) {
    const Tensor tensor = view.as(dtype);
    if (tensor.device().device_type != kDLCPU) {
        throw Error(ErrorCode::invalid_argument, view.name(), "memory of another device", "memory of the host");
    }
    if (tensor.shape().size() != rank) {
        throw Error(ErrorCode::invalid_argument, view.name(), fmt::format("shape ({})", fmt::join(view.shape(), ", ")),
                    fmt::format("{} dimension{}", rank, rank == 1 ? "" : "s"));
    }
    return {tensor.as<const Value>(), static_cast<std::size_t>(tensor.elements())};
}

std::vector<std::int32_t> offsets(const TensorView& m_indptr) {
    const auto values = host_values<std::int32_t>(m_indptr, DType::i32, 1);
    return {values.begin(), values.end()};
}

// ---- routing ----

/// One row a token.
template <class Value>
Array table(const std::vector<std::vector<Value>>& rows, std::int64_t columns) {
    std::vector<Value> flat;
    flat.reserve(rows.size() * static_cast<std::size_t>(columns));
    for (const std::vector<Value>& row : rows) {
        flat.insert(flat.end(), row.begin(), row.end());
    }
    const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(rows.size()), columns};
    return to_array(std::move(flat), shape, nb::dtype<Value>());
}

/// m_indptr, and, but for recorded counts, which name no tokens: the rows' tokens and weights, each token's experts and
/// weights.
using Routed =
    std::tuple<Array, std::optional<Array>, std::optional<Array>, std::optional<Array>, std::optional<Array>>;

Routed route(std::int64_t num_tokens, std::int64_t num_experts, std::int64_t topk, std::int64_t ep_size,
             std::int64_t ep_rank, const std::string& text, std::uint64_t seed) {
    const RoutingArguments arguments{num_tokens, num_experts, topk, ep_size, ep_rank};
    Routing routing;
    std::vector<std::int32_t> m_indptr{0};
    std::optional<MoeTokensInfo> info;
    {
        const nb::gil_scoped_release release;
        routing = Routing::parse(text, seed);
        std::int64_t rows = 0;
        for (const std::int64_t count : route_counts(arguments, routing)) {
            rows += count;
            if (!std::in_range<std::int32_t>(rows)) {
                throw Error(ErrorCode::invalid_argument, "num_tokens", std::to_string(num_tokens),
                            "so many that the rows of a rank can be counted in int32");
            }
            m_indptr.push_back(static_cast<std::int32_t>(rows));
        }
        if (routing.kind != RoutingKind::counts) {
            info = moe_tokens_info(arguments, routing);
        }
    }
    Routed routed{to_array(std::move(m_indptr)), {}, {}, {}, {}};
    if (info) {
        std::get<1>(routed) = to_array(std::move(info->scatter_token_id));
        std::get<2>(routed) = to_array(std::move(info->scatter_token_weight));
        std::get<3>(routed) = table(info->all_select_experts, topk);
        std::get<4>(routed) = table(info->all_select_weights, topk);
    }
    return routed;
}

// ---- quantisation ----

/// Stored elements, their scales, the factors for alpha.
using Quantized = std::tuple<Array, std::optional<Array>, std::optional<Array>>;

Quantized to_arrays(const GemmSpec& spec, std::int64_t rows, bool tokens, QuantizedOperand operand) {
    Quantized arrays;
    for (const TensorSpec& tensor : tensor_specs(spec, rows)) {
        if (tensor.role == (tokens ? Role::a : Role::w)) {
            std::get<0>(arrays) = to_array(std::move(operand.values), tensor.shape, numpy_type(tensor.dtype));
        } else if (tensor.role == (tokens ? Role::a_scale : Role::w_scale)) {
            std::get<1>(arrays) = to_array(std::move(operand.scales), tensor.shape, numpy_type(tensor.dtype));
        }
    }
    if (!operand.alpha.empty()) {
        std::get<2>(arrays) = to_array(std::move(operand.alpha));
    }
    return arrays;
}

GemmSpec quantized_spec(const std::string& variant, const Text& dtype, const Text& scale_layout, bool alpha,
                        bool tokens) {
    GemmSpec spec = typed_spec({variant, tokens ? dtype : Text(), tokens ? Text() : dtype, {}, scale_layout, false});
    spec.has_alpha = alpha && spec.row().alpha != Alpha::none;
    return spec;
}

Quantized quantize_a(const TensorView& values, const TensorView& m_indptr, const std::string& variant,
                     const Text& dtype, const Text& scale_layout, bool alpha) {
    GemmSpec spec = quantized_spec(variant, dtype, scale_layout, alpha, true);
    const auto numbers = host_values<float>(values, DType::f32, 2);
    spec.experts = static_cast<std::int64_t>(m_indptr.shape().empty() ? 0 : m_indptr.shape()[0]) - 1;
    spec.n = 1;  // A does not depend on it
    spec.k = values.shape()[1];
    const Problem problem = Problem::from(spec, offsets(m_indptr));
    QuantizedOperand operand;
    {
        const nb::gil_scoped_release release;
        operand = quantize_tokens(problem, numbers);
    }
    return to_arrays(problem.spec(), problem.rows(), true, std::move(operand));
}

Quantized quantize_w(const TensorView& values, const std::string& variant, const Text& dtype, const Text& scale_layout,
                     bool alpha) {
    GemmSpec spec = quantized_spec(variant, dtype, scale_layout, alpha, false);
    const auto numbers = host_values<float>(values, DType::f32, 3);
    spec.experts = values.shape()[0];
    spec.n = values.shape()[1];
    spec.k = values.shape()[2];
    QuantizedOperand operand;
    {
        const nb::gil_scoped_release release;
        operand = quantize_weights(spec, numbers);
    }
    return to_arrays(spec, 0, false, std::move(operand));
}

Array alpha_of(const std::optional<std::vector<float>>& a, const std::vector<float>& w) {
    GemmSpec spec;
    spec.has_alpha = true;
    QuantizedOperand tokens;
    tokens.alpha = a.value_or(std::vector<float>());
    QuantizedOperand weights;
    weights.alpha = w;
    return to_array(combine_alpha(spec, tokens, weights));
}

// ---- the order of scales ----

/// A spec whose one-byte scales have these extents.
GemmSpec scales_spec(const std::string& layout, std::int64_t experts, std::int64_t rows, std::int64_t columns) {
    GemmSpec spec = typed_spec({"mxfp8", {}, {}, {}, layout, false});
    spec.experts = experts;
    spec.n = rows;
    if (columns < 1 || columns > (std::int64_t{1} << 40)) {
        throw Error(ErrorCode::invalid_argument, "columns", std::to_string(columns), "the scales along K, at least 1");
    }
    spec.k = columns * spec.row().scale_group;
    return spec;
}

Array zeroed(const GemmSpec& spec, std::int64_t rows, Role role, std::span<std::uint8_t>& bytes) {
    for (const TensorSpec& tensor : tensor_specs(spec, rows)) {
        if (tensor.role == role) {
            std::vector<std::uint8_t> values(static_cast<std::size_t>(tensor.bytes));
            bytes = values;
            return to_array(std::move(values), tensor.shape, nb::dtype<std::uint8_t>());
        }
    }
    throw Error(ErrorCode::internal, "scale_layout", std::string(to_string(spec.scale_layout)), "one with scales");
}

Array convert_a(const TensorView& scales, const TensorView& m_indptr, std::int64_t columns, const std::string& from,
                const std::string& to) {
    const std::vector<std::int32_t> rows = offsets(m_indptr);
    const auto experts = static_cast<std::int64_t>(rows.size()) - 1;
    const GemmSpec source = scales_spec(from, experts, 1, columns);
    const Problem target = Problem::from(scales_spec(to, experts, 1, columns), rows);
    std::span<std::uint8_t> bytes;
    Array made = zeroed(target.spec(), target.rows(), Role::a_scale, bytes);
    convert_a_scales(source.scale_layout, host_values<std::uint8_t>(scales, DType::u8, 2), target.spec().scale_layout,
                     bytes, rows, columns);
    return made;
}

Array convert_w(const TensorView& scales, std::int64_t rows, std::int64_t columns, const std::string& from,
                const std::string& to) {
    const auto stored = host_values<std::uint8_t>(scales, DType::u8, 3);
    const std::int64_t experts = scales.shape()[0];
    const GemmSpec source = scales_spec(from, experts, rows, columns);
    const GemmSpec target = scales_spec(to, experts, rows, columns);
    target.check();
    std::span<std::uint8_t> bytes;
    Array made = zeroed(target, 0, Role::w_scale, bytes);
    convert_w_scales(source.scale_layout, stored, target.scale_layout, bytes, experts, rows, columns);
    return made;
}

}  // namespace

void bind_helpers(nb::module_& module) {
    module.def("route", route, nb::kw_only(), nb::arg("num_tokens"), nb::arg("num_experts"), nb::arg("topk"),
               nb::arg("ep_size"), nb::arg("ep_rank"), nb::arg("routing"), nb::arg("seed"));
    module.def("quantize_tokens", quantize_a, nb::kw_only(), nb::arg("values"), nb::arg("m_indptr"), nb::arg("variant"),
               nb::arg("dtype").none(), nb::arg("scale_layout").none(), nb::arg("alpha"));
    module.def("quantize_weights", quantize_w, nb::kw_only(), nb::arg("values"), nb::arg("variant"),
               nb::arg("dtype").none(), nb::arg("scale_layout").none(), nb::arg("alpha"));
    module.def(
        "element",
        [](const std::string& variant, const std::string& operand, const Text& dtype) {
            const GemmSpec spec = quantized_spec(variant, dtype, {}, false, operand == "a");
            return std::string(info(operand == "a" ? spec.a : spec.w).name);
        },
        nb::arg("variant"), nb::arg("operand"), nb::arg("dtype").none(),
        "The stored element of an operand, \"a\" or \"w\".");
    module.def("combine_alpha", alpha_of, nb::arg("a").none(), nb::arg("w"));
    module.def("convert_a_scales", convert_a, nb::kw_only(), nb::arg("scales"), nb::arg("m_indptr"), nb::arg("columns"),
               nb::arg("from_layout"), nb::arg("to_layout"));
    module.def("convert_w_scales", convert_w, nb::kw_only(), nb::arg("scales"), nb::arg("rows"), nb::arg("columns"),
               nb::arg("from_layout"), nb::arg("to_layout"));
}

}  // namespace moegemm::python
