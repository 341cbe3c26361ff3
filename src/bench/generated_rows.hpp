/// \file
/// The benchmark's operands as numbers, computed again from their seed: nothing is read back from a device.
#pragma once

#include <cstdint>
#include <optional>

#include <moegemm/reference.hpp>

#include "op/random/operand_fill.hpp"

namespace moegemm::bench {

/// OperandRows of what Device::fill writes for a problem and a seed. May be read by several threads at once.
class GeneratedRows final : public OperandRows {
public:
    GeneratedRows(const Problem& problem, std::uint64_t seed);
    void a_row(std::int64_t row, std::int64_t expert, std::span<double> values) const override;
    void w_row(std::int64_t expert, std::int64_t n, std::span<double> values) const override;
    void a_block_scales(std::int64_t row, std::int64_t expert, std::span<double> scales) const override;
    void w_block_scales(std::int64_t expert, std::int64_t n, std::span<double> scales) const override;
    [[nodiscard]] float token_scale(std::int64_t row) const override;
    [[nodiscard]] float channel_scale(std::int64_t expert, std::int64_t n) const override;
    [[nodiscard]] float alpha(std::int64_t expert) const override;

private:
    /// Scale row `row` of W, counted over all experts: one a row of W, or one for all 128 of a block.
    [[nodiscard]] std::int64_t w_scale_row(std::int64_t expert, std::int64_t n) const;

    GemmSpec spec_;
    OperandFiller a_;
    OperandFiller w_;
    std::optional<OperandFiller> a_scale_;
    std::optional<OperandFiller> w_scale_;
    std::optional<OperandFiller> alpha_;
};

}  // namespace moegemm::bench
