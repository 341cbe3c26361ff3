/// \file
/// What stands beside the table of a run: how the cases ended, and what the machine was measured to do.
#pragma once

#include <string>

#include "bench/device.hpp"
#include "bench/runner.hpp"
#include "bench/sink.hpp"

namespace moegemm::cli {

/// One line: how the case × provider pairs ended, and where the records are.
/// \param out the folder; may be empty
[[nodiscard]] std::string describe(const bench::RunSummary& summary, std::size_t cases, const std::string& out);

/// Keeps the best of the floors that were measured beside the cases.
class MeasuredFloors final : public bench::Sink {
public:
    void write(const bench::Record& record) override;
    /// The machine, its rate of pure reads and its peak, on standard output.
    void print(const bench::Device& device) const;

private:
    double read_gbs_ = 0;
    double compute_tflops_ = 0;
};

}  // namespace moegemm::cli
