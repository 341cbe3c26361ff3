/// \file
/// The machine's peak for dense products, measured: multiply-adds that never leave the registers.
#pragma once

#include "bench/device.hpp"
#include "bench/thread_team.hpp"

namespace moegemm::bench {

/// Operations a second of the whole team, by the fastest kernel that serves the class: an 8-bit product may also be
/// done in wider types.
[[nodiscard]] double measure_peak(ComputeClass type, ThreadTeam& team);

}  // namespace moegemm::bench
