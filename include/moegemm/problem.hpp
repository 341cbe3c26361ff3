/// \file
/// The op's arguments as a workload spells them, and the checked problem that they become.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <moegemm/routing.hpp>
#include <moegemm/variant.hpp>

namespace moegemm {

/// What a plan is built for: everything but the row counts.
struct GemmSpec {
    Variant variant = Variant::bf16;
    DType a = DType::bf16;                         ///< element of A (scatter_tokens)
    DType w = DType::bf16;                         ///< element of W (experts_weight)
    DType dst = DType::bf16;                       ///< element of y: bf16, f16 or f32
    ScaleLayout scale_layout = ScaleLayout::none;  ///< of a_scale and b_scale
    bool has_alpha = false;                        ///< whether alpha is given
    std::int64_t experts = 0;                      ///< E, on this rank
    std::int64_t n = 0;                            ///< N = new_hidden_size, columns of y
    std::int64_t k = 0;                            ///< K = hidden_size, the depth
    std::int64_t max_rows = 0;                     ///< the largest M that will be run

    /// Checks every field against the variant's row.
    /// \throws Error invalid_argument naming the argument as the op spells it (hidden_size, new_hidden_size,
    /// num_experts, dtype,
    ///         w_dtype, dst_dtype, scale_layout, alpha, max_rows); overflow where a tensor's bytes do not fit
    void check() const;

    [[nodiscard]] const VariantInfo& row() const noexcept { return info(variant); }
    /// Scales along K: ⌈K / scale_group⌉, 0 where there are no block scales.
    [[nodiscard]] std::int64_t scale_columns() const noexcept {
        const std::int64_t group = row().scale_group;
        return group == 0 ? 0 : k / group + (k % group != 0 ? 1 : 0);  // k may be anything before check()
    }
    friend bool operator==(const GemmSpec&, const GemmSpec&) = default;
};

/// A value of an argument: as a JSON scalar or as text converted to its type.
using ArgumentValue = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

/// Text to a value: an integer, a number, true/false, or else the text itself.
[[nodiscard]] ArgumentValue parse_argument_value(std::string_view text);

/// The op's arguments with every default filled in (xpu-perf: MoeQuantGroupGemmOp.prepare_args).
struct Arguments {
    std::string arg_type = "llm";
    RoutingArguments routing;          ///< num_tokens, num_experts, topk, ep_size, ep_rank
    std::int64_t hidden_size = 0;      ///< K
    std::int64_t new_hidden_size = 0;  ///< N
    std::string dtype = "int8";
    std::string w_dtype = "int8";
    std::string compute_dtype = "int8";
    std::string dst_dtype = "bfloat16";
    std::string scale_layout;  ///< empty: the variant's default
    bool alpha = true;         ///< whether alpha is given, where the variant has one

    /// Reads key-value pairs; a later pair of the same key wins.
    /// \param[out] unknown keys that the op does not know, in their order, ignored; may be null
    /// \throws Error invalid_argument naming a required key that is missing, or a key whose value has the wrong type
    [[nodiscard]] static Arguments from(std::span<const std::pair<std::string, ArgumentValue>> pairs,
                                        std::vector<std::string>* unknown);
};

/// A checked problem: a spec, and the rows of each expert. Past this type no code asks again whether its input makes
/// sense.
class Problem {
public:
    /// Checks the arguments, routes the tokens.
    /// \throws Error invalid_argument naming the argument (arg_type, ep_size, topk, dtype, hidden_size, …), its value
    /// and what is
    ///         allowed; overflow for sizes whose product does not fit
    [[nodiscard]] static Problem from(const Arguments& arguments, const Routing& routing);

    /// A spec and E+1 row offsets; the spec's max_rows becomes m_indptr's last.
    /// \throws Error as GemmSpec::check; invalid_argument ("m_indptr") as check_m_indptr
    [[nodiscard]] static Problem from(GemmSpec spec, std::vector<std::int32_t> m_indptr);

    [[nodiscard]] const GemmSpec& spec() const noexcept { return spec_; }
    /// int32, E+1 entries: expert e owns rows [m_indptr[e], m_indptr[e+1]).
    [[nodiscard]] std::span<const std::int32_t> m_indptr() const noexcept { return m_indptr_; }
    [[nodiscard]] std::int64_t rows() const noexcept { return m_indptr_.back(); }  ///< M
    [[nodiscard]] std::int64_t rows_of(std::int64_t expert) const noexcept {
        const auto e = static_cast<std::size_t>(expert);
        return m_indptr_[e + 1] - m_indptr_[e];
    }
    [[nodiscard]] std::int64_t rows_max() const noexcept;      ///< of any expert
    [[nodiscard]] std::int64_t rows_min() const noexcept;      ///< of any expert
    [[nodiscard]] std::int64_t experts_used() const noexcept;  ///< experts with at least one row

private:
    Problem(GemmSpec spec, std::vector<std::int32_t> m_indptr);
    GemmSpec spec_;
    std::vector<std::int32_t> m_indptr_;
};

/// Checks row offsets: E+1 of them, the first 0, none decreasing, the last `rows`.
/// \throws Error invalid_argument ("m_indptr") that names the entry at fault
void check_m_indptr(std::span<const std::int32_t> m_indptr, std::int64_t experts, std::int64_t rows);

}  // namespace moegemm
