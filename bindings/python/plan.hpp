/// \file
/// Plans, and how their spec follows from a call's tensors.
#pragma once

#include <nanobind/nanobind.h>

namespace moegemm::python {

void bind_plans(nanobind::module_& module);

}  // namespace moegemm::python
