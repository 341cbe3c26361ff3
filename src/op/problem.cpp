#include <moegemm/problem.hpp>

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/tensor.hpp>

#include "op/dst.hpp"

namespace moegemm {
namespace {

/// Row offsets are int32.
constexpr std::int64_t rows_limit = std::numeric_limits<std::int32_t>::max();

template <class Value>
[[noreturn]] void throw_invalid(std::string_view argument, const Value& value, std::string allowed) {
    throw Error(ErrorCode::invalid_argument, std::string(argument), fmt::format("{}", value), std::move(allowed));
}

bool has_layouts(const VariantInfo& row) { return row.layouts[0] != ScaleLayout::none; }

bool takes_layout(const VariantInfo& row, ScaleLayout layout) {
    if (layout == ScaleLayout::none) {
        return !has_layouts(row);
    }
    return std::ranges::find(row.layouts, layout) != row.layouts.end();
}

std::string layouts_text(const VariantInfo& row) {
    if (!has_layouts(row)) {
        return fmt::format("none: {} has no block scales", row.name);
    }
    std::vector<std::string_view> texts;
    for (const ScaleLayout layout : row.layouts) {
        if (layout != ScaleLayout::none) {
            texts.push_back(to_string(layout));
        }
    }
    return fmt::format("one of {} for {}", fmt::join(texts, ", "), row.name);
}

ScaleLayout resolve_layout(const VariantInfo& row, std::string_view text) {
    if (text.empty()) {
        return row.layouts[0];
    }
    const auto found = std::ranges::find(scale_layout_names, text);
    const auto layout = static_cast<ScaleLayout>(found - scale_layout_names.begin());
    if (found == scale_layout_names.end() || !takes_layout(row, layout)) {
        throw_invalid("scale_layout", text, layouts_text(row));
    }
    return layout;
}

void check_element(std::string_view argument, DType actual, DType of_row, const VariantInfo& row) {
    const bool eight_bit_float = of_row == DType::e4m3;
    if (actual == of_row || (eight_bit_float && actual == DType::e5m2)) {
        return;
    }
    throw_invalid(argument, info(actual).name,
                  fmt::format("{}{} for {}", info(of_row).name, eight_bit_float ? " or e5m2" : "", row.name));
}

void check_size(std::string_view argument, std::int64_t value, std::int64_t smallest) {
    if (value < smallest) {
        throw_invalid(argument, value, fmt::format("an integer of at least {}", smallest));
    }
}

}  // namespace

void GemmSpec::check() const {
    const VariantInfo& variant_row = row();
    check_element("dtype", a, variant_row.a, variant_row);
    check_element("w_dtype", w, variant_row.w, variant_row);
    if (std::ranges::find(dst_dtypes, dst) == dst_dtypes.end()) {
        throw_invalid("dst_dtype", info(dst).long_name, dst_dtypes_text());
    }
    check_size("num_experts", experts, 1);
    check_size("new_hidden_size", n, 1);
    check_size("hidden_size", k, 1);
    if (k % variant_row.k_granularity != 0) {
        throw_invalid("hidden_size", k,
                      fmt::format("a multiple of {} for {}", variant_row.k_granularity, variant_row.name));
    }
    if (k > variant_row.k_max) {
        throw_invalid("hidden_size", k, fmt::format("1 … {} for {}", variant_row.k_max, variant_row.name));
    }
    if (max_rows < 0 || max_rows > rows_limit) {
        throw_invalid("max_rows", max_rows, fmt::format("0 … {}: row offsets are int32", rows_limit));
    }
    if (!takes_layout(variant_row, scale_layout)) {
        throw_invalid("scale_layout", to_string(scale_layout), layouts_text(variant_row));
    }
    if (has_alpha && variant_row.alpha == Alpha::none) {
        throw_invalid("alpha", "given", fmt::format("none: {} has no alpha", variant_row.name));
    }
    (void)tensor_specs(*this, max_rows);
}

void check_m_indptr(std::span<const std::int32_t> m_indptr, std::int64_t experts, std::int64_t rows) {
    const auto entries = static_cast<std::int64_t>(m_indptr.size());
    if (experts < 1 || entries - 1 != experts) {
        throw_invalid("m_indptr", fmt::format("{} entries", entries),
                      fmt::format("one entry more than the {} experts", experts));
    }
    if (m_indptr.front() != 0) {
        throw_invalid("m_indptr", fmt::format("{} at entry 0", m_indptr.front()), "0 at entry 0");
    }
    for (std::size_t i = 1; i < m_indptr.size(); ++i) {
        if (m_indptr[i] < m_indptr[i - 1]) {
            throw_invalid("m_indptr", fmt::format("{} at entry {}", m_indptr[i], i),
                          fmt::format("at least entry {}, which is {}", i - 1, m_indptr[i - 1]));
        }
    }
    if (m_indptr.back() != rows) {
        throw_invalid("m_indptr", fmt::format("{} at entry {}, the last", m_indptr.back(), entries - 1),
                      fmt::format("the number of rows, {}", rows));
    }
}

Problem::Problem(GemmSpec spec, std::vector<std::int32_t> m_indptr) : spec_(spec), m_indptr_(std::move(m_indptr)) {}

Problem Problem::from(GemmSpec spec, std::vector<std::int32_t> m_indptr) {
    const std::int32_t rows = m_indptr.empty() ? 0 : m_indptr.back();
    // A spec whose other fields are wrong is named before its row offsets are.
    spec.max_rows = std::max(rows, 0);
    spec.check();
    check_m_indptr(m_indptr, spec.experts, rows);
    Problem problem(spec, std::move(m_indptr));
    (void)account(problem);  // the counts that reports print must fit too
    return problem;
}

Problem Problem::from(const Arguments& arguments, const Routing& routing) {
    if (arguments.arg_type != "llm") {
        throw_invalid("arg_type", arguments.arg_type, "llm");
    }
    const TypedVariant typed =
        resolve_variant(arguments.dtype, arguments.w_dtype, arguments.compute_dtype, arguments.dst_dtype);
    const VariantInfo& row = info(typed.variant);
    arguments.routing.check();
    GemmSpec spec;
    spec.variant = typed.variant;
    spec.a = typed.a;
    spec.w = typed.w;
    spec.dst = typed.dst;
    spec.scale_layout = resolve_layout(row, arguments.scale_layout);
    spec.has_alpha = arguments.alpha && row.alpha != Alpha::none;
    spec.experts = arguments.routing.experts_per_rank();
    spec.n = arguments.new_hidden_size;
    spec.k = arguments.hidden_size;
    spec.check();  // before anything is routed

    std::vector<std::int32_t> m_indptr{0};
    std::int64_t rows = 0;
    for (const std::int64_t count : route_counts(arguments.routing, routing)) {
        if (count > rows_limit - rows) {
            throw_invalid("num_tokens", arguments.routing.num_tokens,
                          fmt::format("so many that a rank has at most {} rows: row offsets are int32", rows_limit));
        }
        rows += count;
        m_indptr.push_back(static_cast<std::int32_t>(rows));
    }
    return from(spec, std::move(m_indptr));
}

std::int64_t Problem::rows_max() const noexcept {
    std::int64_t most = 0;
    for (std::int64_t expert = 0; expert < spec_.experts; ++expert) {
        most = std::max(most, rows_of(expert));
    }
    return most;
}

std::int64_t Problem::rows_min() const noexcept {
    std::int64_t least = rows_of(0);
    for (std::int64_t expert = 1; expert < spec_.experts; ++expert) {
        least = std::min(least, rows_of(expert));
    }
    return least;
}

std::int64_t Problem::experts_used() const noexcept {
    std::int64_t used = 0;
    for (std::int64_t expert = 0; expert < spec_.experts; ++expert) {
        used += rows_of(expert) > 0 ? 1 : 0;
    }
    return used;
}

}  // namespace moegemm
