/// \file
/// What a dry run prints.
#pragma once

#include <span>

#include <moegemm/routing.hpp>

#include "bench/case.hpp"

namespace moegemm::cli {

/// One line a case: variant, sizes, each tensor with data type, shape and bytes, and what a call reads, writes and
/// computes. A case whose arguments are wrong is a line with the reason.
void print_plan(std::span<const bench::Case> cases, const Routing& routing);

}  // namespace moegemm::cli
