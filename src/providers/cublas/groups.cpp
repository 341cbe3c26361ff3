#include "providers/cublas/groups.hpp"

namespace moegemm::cublas {

Groups::Groups(const GemmSpec& spec) {
    const auto experts_at_most = static_cast<std::size_t>(spec.experts);
    // What is the same for all groups.
    transposes_weights.assign(experts_at_most, api::transpose);
    transposes_tokens.assign(experts_at_most, api::no_transpose);
    n.assign(experts_at_most, static_cast<int>(spec.n));
    k.assign(experts_at_most, static_cast<int>(spec.k));
    n_stride = n;
    k_stride = k;
    sizes.assign(experts_at_most, 1);
    alpha.assign(experts_at_most, 1.0F);
    beta.assign(experts_at_most, 0.0F);
    rows.reserve(experts_at_most);
    experts.reserve(experts_at_most);
    first_rows.reserve(experts_at_most);
}

void Groups::set(const GemmSpec& spec, std::span<const std::int32_t> m_indptr) {
    rows.clear();
    experts.clear();
    first_rows.clear();
    for (int expert = 0; expert < static_cast<int>(spec.experts); ++expert) {
        const auto e = static_cast<std::size_t>(expert);
        if (const int count = m_indptr[e + 1] - m_indptr[e]; count > 0) {
            rows.push_back(count);
            experts.push_back(expert);
            first_rows.push_back(m_indptr[e]);
        }
    }
}

}  // namespace moegemm::cublas
