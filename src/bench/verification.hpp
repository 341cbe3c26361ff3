/// \file
/// Holding the output of one call against the reference.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <moegemm/reference.hpp>

#include "bench/comparison.hpp"
#include "bench/device.hpp"
#include "bench/record.hpp"
#include "bench/thread_team.hpp"

namespace moegemm::bench {

/// Rows and columns of one expert that are compared: every chosen column of every chosen row.
struct SampledExpert {
    std::int64_t expert;
    std::vector<std::int64_t> rows;     ///< of all rows, ascending; always the expert's first and last
    std::vector<std::int64_t> columns;  ///< ascending; always 0 and N − 1
};

/// Which elements a sample compares: for each expert that has rows, its first and last row and both edges of N, rows
/// and columns beside the borders of tiles (multiples of 8, 16, 32, 64 and 128), and random ones; at least
/// min(N, 16) columns, so that a row's largest number among them is of its usual size.
/// \param seed of the random choice
[[nodiscard]] std::vector<SampledExpert> choose_sample(const Problem& problem, std::uint64_t seed);

/// What check() found.
struct OutputCheck {
    Verification verification;
    std::string reason;  ///< why y is wrong; empty where it is right
};

/// The reference's values for one problem, computed once, and the check of an output against them.
class Verifier {
public:
    /// Computes what check() will need.
    /// \param mode sample: whole where M·N·K is small
    /// \param problem, rows, device and team must outlive the object
    Verifier(const Problem& problem, const OperandRows& rows, VerifyMode mode, std::uint64_t seed, Device& device,
             ThreadTeam& team);

    /// Bytes of host memory that a verifier of this kind takes.
    [[nodiscard]] static std::int64_t bytes_needed(const Problem& problem, VerifyMode mode);

    /// Fills y with bytes that no right output has.
    static void poison(Device& device, const Tensor& y);

    /// Compares y, which may lie on the device: every chosen element with the reference, and every element with the
    /// poison. A poison that is found is an element that was not written, unless NaN is right there.
    [[nodiscard]] OutputCheck check(const Tensor& y, Accumulation accumulation) const;

private:
    /// Chosen columns of one row and what is expected there.
    struct Row {
        std::int64_t row = 0;
        const std::vector<std::int64_t>* columns = nullptr;  ///< null: all of them
        std::vector<double> expected;
        std::vector<double> magnitude;  ///< see Comparison::add_row; empty where the row has enough columns
    };

    void compute_whole();
    void compute_sample(std::uint64_t seed);
    void compute_magnitudes();
    void check_poison(const std::byte* stored, std::int64_t first_row, std::int64_t row_count,
                      std::string& reason) const;
    [[nodiscard]] std::int64_t expert_of(std::int64_t row) const;

    const Problem& problem_;
    const OperandRows& rows_;
    VerifyMode mode_;
    Device& device_;
    ThreadTeam& team_;
    std::vector<SampledExpert> sample_;
    std::vector<Row> chosen_;  ///< ascending rows
};

}  // namespace moegemm::bench
