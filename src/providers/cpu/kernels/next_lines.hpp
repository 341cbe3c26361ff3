/// \file
/// Asking for lines of memory a little at every step of other work.
#pragma once

#include <cstdint>

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

/// Runs of lines, into the second-level cache.
/// \tparam T any type of the file that is compiled for an instruction set: see kernel_family.hpp
template <class T>
class NextLines {
public:
    NextLines(const LineRuns& wanted, std::int64_t steps)
        : at_(wanted.first),
          stride_(wanted.stride),
          runs_(wanted.runs),
          lines_(wanted.lines),
          per_step_((wanted.runs * wanted.lines + steps - 1) / steps) {}

    void step() {
        for (std::int64_t count = 0; count < per_step_ && runs_ > 0; ++count) {
            __builtin_prefetch(at_ + line_ * line_bytes, 0, 2);
            if (++line_ == lines_) {
                line_ = 0;
                --runs_;
                at_ += stride_;
            }
        }
    }

private:
    const std::uint8_t* at_;
    std::int64_t stride_;
    std::int64_t runs_;
    std::int64_t lines_;
    std::int64_t per_step_;
    std::int64_t line_ = 0;
};

/// What a step of a product's rows asks for as lines of panels go by.
struct Asked {
    const std::uint8_t* at;
    std::int64_t stride;  ///< bytes to the next panel's
    std::int64_t step;    ///< bytes for each line
};

/// What each step of rows asks for.
/// \tparam T as of NextLines
template <class T>
class AskedLines {
public:
    /// \param wanted a run for each panel, of no more lines than go by
    /// \param lines  that go by, of a panel, in a step
    /// \param times  in so many steps, one after the other, each line is asked for
    AskedLines(const LineRuns& wanted, std::int64_t lines, std::int64_t steps, std::int64_t times)
        : next_{wanted.first, wanted.stride, wanted.lines * line_bytes / lines} {
        const std::int64_t bytes = wanted.lines * line_bytes;
        if (steps > times) {
            const std::int64_t each = (bytes + steps * lines - 1) / (steps * lines);
            share_ = each * lines;
            next_.step = times * each < line_bytes ? times * each : line_bytes;
        }
    }
    [[nodiscard]] Asked next() {
        const Asked asked = next_;
        next_.at += share_;
        return asked;
    }

private:
    Asked next_;
    std::int64_t share_ = 0;
};

}  // namespace moegemm::cpu
