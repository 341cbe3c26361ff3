/// \file
/// One case of a workload, as its file spells it.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <moegemm/problem.hpp>

namespace moegemm::bench {

/// A case before anything of it has been checked.
struct Case {
    std::vector<std::pair<std::string, ArgumentValue>> arguments;  ///< in the file's order; a later pair wins
    std::string routing;           ///< as Routing::parse takes it; empty where the run's is meant
    std::filesystem::path folder;  ///< of the workload file, from which the routing names a file of counts
    std::string source;            ///< where it stands, for messages: file and entry
};

/// The case's own routing, or the run's. Its text is as the file spells it, whichever folder it was read from.
/// \throws Error as Routing::parse does
[[nodiscard]] Routing routing_of(const Case& item, const Routing& run);

}  // namespace moegemm::bench
