/// \file
/// The machine's peak for dense products, measured: multiply-adds that never leave the registers.
#pragma once

#include "bench/device.hpp"
#include "bench/isa/kernels.hpp"
#include "bench/thread_team.hpp"

namespace moegemm::bench {

/// Operations a second of the whole team, by the fastest kernel that serves a class: an 8-bit product may also be done
/// in wider types. The best that was ever seen: other work on the machine only slows, and may do so for seconds.
class PeakRate {
public:
    /// Finds the fastest kernel, and looks at it for a while.
    /// \param team must outlive this
    PeakRate(ComputeClass type, ThreadTeam& team);

    [[nodiscard]] double best() const noexcept { return best_; }
    /// \return the best, after another short look
    double look_again();

private:
    ThreadTeam& team_;
    isa::Peak fastest_{};
    double best_ = 0;
};

}  // namespace moegemm::bench
