/// \file
/// Routing, quantisation and the order of scales: functions of the library, on NumPy's arrays.
#pragma once

#include <nanobind/nanobind.h>

namespace moegemm::python {

void bind_helpers(nanobind::module_& module);

}  // namespace moegemm::python
