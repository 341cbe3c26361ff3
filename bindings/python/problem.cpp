#include "problem.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <moegemm/error.hpp>
#include <moegemm/problem.hpp>
#include <moegemm/tensor.hpp>

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "spec.hpp"

namespace nb = nanobind;

namespace moegemm::python {
namespace {

Problem make_problem(const std::map<std::string, std::string>& texts, const std::string& routing, std::uint64_t seed) {
    std::vector<std::pair<std::string, ArgumentValue>> pairs;
    for (const auto& [key, text] : texts) {
        pairs.emplace_back(key, parse_argument_value(text));
    }
    const nb::gil_scoped_release release;
    return Problem::from(Arguments::from(pairs, nullptr), Routing::parse(routing, seed));
}

}  // namespace

void bind_problems(nb::module_& module) {
    nb::class_<Problem>(module, "Problem", "A checked case of the op, routed.")
        .def_prop_ro("variant", [](const Problem& problem) { return std::string(problem.spec().row().name); })
        .def_prop_ro(
            "experts", [](const Problem& problem) { return problem.spec().experts; }, "E, of this rank.")
        .def_prop_ro(
            "n", [](const Problem& problem) { return problem.spec().n; }, "N, the columns of the result.")
        .def_prop_ro(
            "k", [](const Problem& problem) { return problem.spec().k; }, "K, the depth.")
        .def_prop_ro("rows", &Problem::rows, "M.")
        .def_prop_ro(
            "m_indptr",
            [](const Problem& problem) {
                return std::vector<std::int32_t>(problem.m_indptr().begin(), problem.m_indptr().end());
            },
            "E+1 offsets: expert e owns rows [m_indptr[e], m_indptr[e+1]).")
        .def_prop_ro("a_dtype", [](const Problem& problem) { return std::string(info(problem.spec().a).name); })
        .def_prop_ro("w_dtype", [](const Problem& problem) { return std::string(info(problem.spec().w).name); })
        .def_prop_ro("dst_dtype", [](const Problem& problem) { return std::string(info(problem.spec().dst).name); })
        .def_prop_ro("scale_layout",
                     [](const Problem& problem) { return std::string(to_string(problem.spec().scale_layout)); })
        .def_prop_ro("has_alpha", [](const Problem& problem) { return problem.spec().has_alpha; })
        .def_prop_ro(
            "read_bytes", [](const Problem& problem) { return account(problem).read_bytes; },
            "Of all inputs, with the row counts and offsets of the op's definition, without m_indptr.")
        .def_prop_ro("write_bytes", [](const Problem& problem) { return account(problem).write_bytes; })
        .def_prop_ro("flops", [](const Problem& problem) { return account(problem).flops; })
        .def(
            "tensors",
            [](const Problem& problem, std::optional<std::int64_t> rows) {
                return tensor_rows(problem.spec(), rows.value_or(problem.rows()));
            },
            nb::arg("rows") = nb::none(), "The tensors of its call, or of one with another number of rows.");
    module.def("problem", make_problem, nb::kw_only(), nb::arg("arguments"), nb::arg("routing"), nb::arg("seed"));
}

}  // namespace moegemm::python
