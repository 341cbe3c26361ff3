/// \file
/// The extension module moegemm._core. What users call is Python: it allocates results in the framework of their
/// tensors, and finds the stream.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <moegemm/variant.hpp>

#include "errors.hpp"
#include "helpers.hpp"
#include "plan.hpp"
#include "problem.hpp"
#include "providers.hpp"
#include "tensor_view.hpp"

NB_MODULE(_core, module) {
    using namespace moegemm::python;
    // A plan that lives until the interpreter ends, as an engine's does, is no leak to report.
    nanobind::set_leak_warnings(false);
    module.attr("version") = MOEGEMM_VERSION;
    module.def(
        "variants",
        [] {
            std::vector<std::string> names;
            names.reserve(moegemm::variants.size());
            for (const moegemm::VariantInfo& row : moegemm::variants) {
                names.emplace_back(row.name);
            }
            return names;
        },
        "The names of all variants of the op.");
    register_errors();
    bind_tensor_view(module);
    bind_providers(module);
    bind_plans(module);
    bind_problems(module);
    bind_helpers(module);
}
