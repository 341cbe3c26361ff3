/// \file
/// A call as cuBLAS's grouped product describes it: a group an expert that has rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <moegemm/problem.hpp>

#include "providers/cublas/library.hpp"

namespace moegemm::cublas {

/// cuBLAS reads matrices column by column: the weights of an expert are (K, N), and to be transposed, its rows of A are
/// (K, rows), those of y (N, rows).
struct Groups {
    std::vector<int> transposes_weights, transposes_tokens;
    std::vector<int> n, rows, k;
    std::vector<int> n_stride, k_stride;  ///< of the columns of y, of the other two
    std::vector<int> sizes;               ///< products in each group
    std::vector<float> alpha, beta;
    std::vector<int> experts;     ///< whose group it is
    std::vector<int> first_rows;  ///< its first row

    [[nodiscard]] int count() const noexcept { return static_cast<int>(experts.size()); }

    /// Room for a group an expert, so that set() allocates nothing.
    explicit Groups(const GemmSpec& spec);
    /// \param m_indptr E+1 offsets, checked
    void set(const GemmSpec& spec, std::span<const std::int32_t> m_indptr);
};

}  // namespace moegemm::cublas
