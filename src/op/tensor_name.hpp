/// \file
/// What the op calls the tensor that plays a role in a variant.
#pragma once

#include <string_view>

#include <moegemm/tensor.hpp>

namespace moegemm {

[[nodiscard]] constexpr std::string_view tensor_name(const VariantInfo& row, Role role) noexcept {
    const bool token_channel = row.scaling == Scaling::token_channel;
    switch (role) {
        case Role::a:
            return "scatter_tokens";
        case Role::w:
            return "experts_weight";
        case Role::a_scale:
            return token_channel ? "per_token_scale" : "a_scale";
        case Role::w_scale:
            return token_channel ? "experts_scale" : "b_scale";
        case Role::alpha:
            return "alpha";
        case Role::m_indptr:
            return "m_indptr";
        case Role::y:
            return "y";
    }
    return "";
}

}  // namespace moegemm
