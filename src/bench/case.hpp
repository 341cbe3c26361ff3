/// \file
/// One case of a workload, as its file spells it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <moegemm/problem.hpp>

namespace moegemm::bench {

/// A case before anything of it has been checked.
struct Case {
    std::vector<std::pair<std::string, ArgumentValue>> arguments;  ///< in the file's order; a later pair wins
    std::string routing;  ///< as Routing::parse takes it; empty where the run's is meant
    std::string source;   ///< where it stands, for messages: file and entry
};

}  // namespace moegemm::bench
