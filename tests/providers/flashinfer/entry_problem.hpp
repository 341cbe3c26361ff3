/// \file
/// Random problems that one of FlashInfer's entry points takes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include <moegemm/problem.hpp>

#include "providers/flashinfer/entry.hpp"

namespace moegemm::test {

/// A third of the experts is empty, some span more than a tile of 128 rows.
inline Problem random_problem(const flashinfer::Entry& entry, std::mt19937_64& random) {
    const auto below = [&](std::int64_t limit) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
    };
    const VariantInfo& row = info(entry.variant);
    GemmSpec spec;
    spec.variant = entry.variant;
    spec.a = row.a == DType::e4m3 && below(3) == 0 ? DType::e5m2 : row.a;
    spec.w = entry.same_type ? spec.a : row.w;
    spec.dst = entry.f16_out && below(2) == 0 ? DType::f16 : DType::bf16;
    const auto layouts = std::count_if(row.layouts.begin(), row.layouts.end(),
                                       [](ScaleLayout layout) { return layout != ScaleLayout::none; });
    spec.scale_layout = row.layouts[static_cast<std::size_t>(below(std::max<std::int64_t>(layouts, 1)))];
    spec.has_alpha = entry.alpha && below(2) == 0;
    spec.experts = entry.one_expert ? 1 : 1 + below(8);
    spec.n = entry.n_multiple * (1 + below(entry.n_multiple >= 128 ? 2 : 20));
    spec.k = entry.k_multiple * (1 + below(entry.k_multiple >= 128 ? 3 : 24));
    std::vector<std::int32_t> m_indptr{0};
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        const std::int64_t rows = below(3) == 0 ? 0 : 1 + below(below(8) == 0 ? 140 : 9);
        m_indptr.push_back(m_indptr.back() + static_cast<std::int32_t>(rows));
    }
    return Problem::from(spec, m_indptr);
}

}  // namespace moegemm::test
