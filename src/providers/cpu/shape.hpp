/// \file
/// What a plan knows before any tensor is there: the spec in the kernels' terms.
#pragma once

#include <cstdint>

#include <moegemm/problem.hpp>

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

/// A spec, the kernels that run it, and the sizes that both give.
struct Shape {
    GemmSpec spec;
    const KernelFamily* kernels = nullptr;
    Element a{};
    Element w{};
    GroupScale scale{};  ///< of W; of A too where the variant scales A
    WeightFormat format{};
    Combine combine{};
    Finish finish{};
    Dst dst{};
    std::int64_t k_blocks = 0;     ///< ⌈K / k_block⌉
    std::int64_t panels = 0;       ///< ⌈N / panel_columns⌉
    std::int64_t a_row_bytes = 0;  ///< of K elements
    std::int64_t w_row_bytes = 0;
    std::int64_t block_groups = 0;  ///< scales along K of a K block; 0 where there are none
    int group_shift = 0;            ///< log2 of a group's elements

    /// \throws Error overflow ("experts_weight") where padding N to panels leaves 63 bits
    [[nodiscard]] static Shape from(const GemmSpec& spec, const KernelFamily& kernels);

    /// Elements along K of a K block.
    [[nodiscard]] std::int64_t depth(std::int64_t block) const noexcept {
        const std::int64_t rest = spec.k - block * k_block;
        return rest < k_block ? rest : k_block;
    }
    /// Scale groups of a K block.
    [[nodiscard]] std::int64_t groups(std::int64_t block) const noexcept {
        return block_groups == 0 ? 0 : depth(block) >> group_shift;
    }
    /// Columns of panel `panel` that exist.
    [[nodiscard]] std::int64_t columns(std::int64_t panel) const noexcept {
        const std::int64_t rest = spec.n - panel * kernels->panel_columns;
        return rest < kernels->panel_columns ? rest : kernels->panel_columns;
    }
    /// Whether A has one scale a group, as W has.
    [[nodiscard]] bool a_grouped() const noexcept { return scale != GroupScale::none && spec.row().a_scaled; }
};

}  // namespace moegemm::cpu
