/// \file
/// The op in float64, straight from its contract: what every other result is held against.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <moegemm/tensor.hpp>

namespace moegemm {

/// Reads rows of the operands as numbers. int8 rows are whole numbers; group scales are multiplied in, block scales are
/// not: they belong to a block's sum, which makes a difference where one of them is infinite. A device's operands can
/// be read through an implementation that generates or fetches single rows.
class OperandRows {
public:
    virtual ~OperandRows() = default;
    /// Row `row` of A, owned by `expert`. \param[out] values K numbers
    virtual void a_row(std::int64_t row, std::int64_t expert, std::span<double> values) const = 0;
    /// Row `n` of expert `expert`'s W. \param[out] values K numbers
    virtual void w_row(std::int64_t expert, std::int64_t n, std::span<double> values) const = 0;
    /// fp8_block: the scales of row `row` of A. \param[out] scales ⌈K/128⌉ numbers. Not called for other variants.
    virtual void a_block_scales(std::int64_t row, std::int64_t expert, std::span<double> scales) const = 0;
    /// fp8_block: the scales of row `n` of expert `expert`'s W. \param[out] scales ⌈K/128⌉ numbers
    virtual void w_block_scales(std::int64_t expert, std::int64_t n, std::span<double> scales) const = 0;
    [[nodiscard]] virtual float token_scale(std::int64_t row) const = 0;  ///< token_channel; else 1
    [[nodiscard]] virtual float channel_scale(std::int64_t expert,
                                              std::int64_t n) const = 0;  ///< token_channel; else 1
    [[nodiscard]] virtual float alpha(std::int64_t expert) const = 0;     ///< 1 where there is none
};

/// OperandRows over tensors in host memory; `operands.a`, `w` and their scales are given.
class HostOperandRows final : public OperandRows {
public:
    /// \param m_indptr E+1 offsets; kept by reference, as are the tensors
    HostOperandRows(const GemmSpec& spec, const Operands& operands, std::span<const std::int32_t> m_indptr);
    void a_row(std::int64_t row, std::int64_t expert, std::span<double> values) const override;
    void w_row(std::int64_t expert, std::int64_t n, std::span<double> values) const override;
    void a_block_scales(std::int64_t row, std::int64_t expert, std::span<double> scales) const override;
    void w_block_scales(std::int64_t expert, std::int64_t n, std::span<double> scales) const override;
    [[nodiscard]] float token_scale(std::int64_t row) const override;
    [[nodiscard]] float channel_scale(std::int64_t expert, std::int64_t n) const override;
    [[nodiscard]] float alpha(std::int64_t expert) const override;

private:
    [[nodiscard]] double a_scale(std::int64_t row, std::int64_t expert, std::int64_t column) const;
    [[nodiscard]] double w_scale(std::int64_t expert, std::int64_t n, std::int64_t column) const;

    GemmSpec spec_;
    Operands operands_;
    std::span<const std::int32_t> m_indptr_;
};

/// An element of y.
struct Element {
    std::int64_t row;     ///< of all rows
    std::int64_t expert;  ///< that owns the row
    std::int64_t column;  ///< n
};

/// The result before its only rounding, for chosen elements.
/// int8 sums are exact in int64 and then scaled left to right in f32, as the contract has it; all else is float64.
/// \param elements best ordered by expert and column: a row of W is decoded once for each run of the same (expert,
/// column) \param[out] values one for each element
void reference_elements(const GemmSpec& spec, const OperandRows& rows, std::span<const Element> elements,
                        std::span<double> values);

/// The whole of y, (M, N) row-major, before its only rounding.
[[nodiscard]] std::vector<double> reference(const Problem& problem, const OperandRows& rows);

}  // namespace moegemm
