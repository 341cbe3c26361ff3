/// \file
/// A case of the op on paper, for callers that allocate and account themselves.
#pragma once

#include <nanobind/nanobind.h>

namespace moegemm::python {

void bind_problems(nanobind::module_& module);

}  // namespace moegemm::python
