/// \file
/// The parts of a plan's workspace: FlashInfer's own, and what the steps around its call write.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moegemm/tensor.hpp>

#include "providers/flashinfer/entry.hpp"

namespace moegemm::flashinfer {

/// A part, as bytes from the workspace's first. Absent where it has none.
struct Part {
    std::size_t offset = 0;
    std::size_t bytes = 0;
};

struct Workspace {
    Part floats;  ///< FlashInfer's "float workspace"
    Part ints;    ///< and its "int workspace"

    Part problems;  ///< of the segment GEMM: SegmentArguments
    Part pointers;
    Part strides;

    Part padded;   ///< m_indptr of padded rows
    Part a;        ///< padded rows of A
    Part a_scale;  ///< their scales
    Part w_scale;  ///< swizzled scales of W, where they come linear
    Part y;        ///< padded rows of y
    std::size_t bytes = 0;

    /// For the spec's largest M. The spec is one that the entry takes.
    [[nodiscard]] static Workspace of(const Entry& entry, const GemmSpec& spec);
};

}  // namespace moegemm::flashinfer
