#include "provider/abi_spec.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include "provider/last_error.hpp"

namespace moegemm {
namespace {

DType dtype_from_abi(const char* name, std::string_view argument) {
    if (const auto found = find_dtype(require(name, argument))) {
        return *found;
    }
    std::array<std::string_view, dtypes.size()> known;
    std::transform(dtypes.begin(), dtypes.end(), known.begin(), [](const DTypeInfo& row) { return row.name; });
    throw Error(ErrorCode::invalid_argument, std::string(argument), name, fmt::format("{}", fmt::join(known, ", ")));
}

ScaleLayout layout_from_abi(const char* name, std::string_view argument) {
    require(name, argument);
    const auto found = std::find(scale_layout_names.begin(), scale_layout_names.end(), name);
    if (found == scale_layout_names.end()) {
        throw Error(ErrorCode::invalid_argument, std::string(argument), name,
                    fmt::format("{}", fmt::join(scale_layout_names, ", ")));
    }
    return static_cast<ScaleLayout>(found - scale_layout_names.begin());
}

}  // namespace

Variant variant_from_abi(const char* name, std::string_view argument) {
    if (const auto found = find_variant(require(name, argument))) {
        return *found;
    }
    std::array<std::string_view, variants.size()> known;
    std::transform(variants.begin(), variants.end(), known.begin(), [](const VariantInfo& row) { return row.name; });
    throw Error(ErrorCode::invalid_argument, std::string(argument), name, fmt::format("{}", fmt::join(known, ", ")));
}

moegemm_spec to_abi(const GemmSpec& spec) noexcept {
    // The tables' names are string literals, so each view ends with a null character.
    return {sizeof(moegemm_spec),
            info(spec.variant).name.data(),
            info(spec.a).name.data(),
            info(spec.w).name.data(),
            info(spec.dst).name.data(),
            to_string(spec.scale_layout).data(),
            spec.has_alpha ? 1 : 0,
            spec.experts,
            spec.n,
            spec.k,
            spec.max_rows};
}

GemmSpec from_abi(const moegemm_spec* given) {
    const moegemm_spec& fields = require_struct(given, "spec");
    GemmSpec spec;
    spec.variant = variant_from_abi(fields.variant, "spec.variant");
    spec.a = dtype_from_abi(fields.a_dtype, "spec.a_dtype");
    spec.w = dtype_from_abi(fields.w_dtype, "spec.w_dtype");
    spec.dst = dtype_from_abi(fields.dst_dtype, "spec.dst_dtype");
    spec.scale_layout = layout_from_abi(fields.scale_layout, "spec.scale_layout");
    spec.has_alpha = fields.has_alpha != 0;
    spec.experts = fields.experts;
    spec.n = fields.n;
    spec.k = fields.k;
    spec.max_rows = fields.max_rows;
    spec.check();
    return spec;
}

moegemm_plan_options to_abi(const PlanOptions& options) noexcept {
    return {sizeof(moegemm_plan_options), options.device, options.threads,
            options.kernel.empty() ? nullptr : options.kernel.c_str(), options.inexact ? 1 : 0};
}

PlanOptions from_abi(const moegemm_plan_options* given) {
    const auto fields = require_grown_struct(given, "options", offsetof(moegemm_plan_options, inexact));
    PlanOptions options;
    options.device = fields.device;
    options.threads = fields.threads;
    options.kernel = fields.kernel == nullptr ? "" : fields.kernel;
    options.inexact = fields.inexact != 0;
    return options;
}

}  // namespace moegemm
