/// \file
/// What of FlashInfer this provider calls: a table of its compiled modules' functions and one of those that it hands to
/// cuDNN, a row an entry point. Adding an entry point is adding a row, and its order of arguments where that is a new
/// one.
///
/// Source: FlashInfer 0.7.2.post1: csrc/*_binding.cu for the functions' arguments, the checks of gemm/gemm_base.py and
/// the kernels' own headers for what they demand; grouped_mm/core.py for what goes to cuDNN.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <moegemm/provider.hpp>

namespace moegemm::flashinfer {

/// The order of a function's arguments.
enum class Signature : std::uint8_t {
    segment_sm80,  ///< workspace, problems, pointers, leading dimensions, an empty x, column-major weights
    segment_sm90,  ///< two workspaces, problems, pointers, strides, an empty x, an empty y, column-major weights
    block_sm100,   ///< two workspaces, A, B, their scales, D, m_indptr, n, k, granularities, major, SMs an MMA
    block_sm120,   ///< the same without the SMs
    mx_sm100,      ///< two workspaces, A, B, their scales, D, m_indptr, n, k, SMs an MMA, tile m n k, swap
    mx_sm120,      ///< the same without the SMs
    nv_sm120,      ///< the same, and alpha before m_indptr
};

/// Whether the kernels read rows where they lie, through pointers of each expert's, or demand that every expert's first
/// row is a multiple of 4.
[[nodiscard]] constexpr bool takes_pointers(Signature signature) noexcept {
    return signature == Signature::segment_sm80 || signature == Signature::segment_sm90;
}

/// Compute capabilities as two digits and more: 90 is 9.0, 120 is 12.0. Unused places are 0.
using Capabilities = std::array<std::int16_t, 12>;

struct Entry {
    Variant variant;
    std::string_view module;    ///< FlashInfer's name of the compiled module
    std::string_view function;  ///< that it exports
    Signature signature;
    Capabilities capabilities;
    std::int64_t k_multiple;
    std::int64_t n_multiple;
    bool f16_out;    ///< whether y may be float16; bfloat16 always may
    bool same_type;  ///< A and W are of one type
    bool one_expert;
    bool alpha;  ///< whether it takes one
    Accumulation accumulation;
};

/// FlashInfer's choice: its segment GEMM for SM90 on compute capability 9, that for SM80 on all others.
inline constexpr Capabilities sm80_and_others{80, 86, 87, 89, 100, 103, 107, 110, 120, 121};
inline constexpr Capabilities sm90{90};
inline constexpr Capabilities sm100{100, 103, 107};
inline constexpr Capabilities sm120{120, 121};

// clang-format off: a table reads by columns
inline constexpr std::array<Entry, 8> entries{{
    // variant           module        function                        arguments                capabilities    K    N
    // f16    same   one    alpha  sums
    {Variant::bf16, "gemm", "cutlass_segment_gemm", Signature::segment_sm80, sm80_and_others, 8, 8, false, true, false,
     false, Accumulation::fp32},
    {Variant::bf16, "gemm_sm90", "cutlass_segment_gemm_sm90", Signature::segment_sm90, sm90, 8, 8, false, true, false,
     false, Accumulation::fp32},
    {Variant::fp8, "gemm_sm90", "cutlass_segment_gemm_sm90", Signature::segment_sm90, sm90, 16, 8, true, true, false,
     false, Accumulation::fast},
    // The kernels stride experts' scales by N/128 and K/128 rounded down: other sizes would be silently wrong.
    {Variant::fp8_block, "gemm_sm100", "group_gemm_fp8_nt_groupwise", Signature::block_sm100, sm100, 128, 128, true,
     true, false, false, Accumulation::fp32},
    {Variant::fp8_block, "gemm_sm120", "group_gemm_fp8_nt_groupwise", Signature::block_sm120, sm120, 128, 128, true,
     true, true, false, Accumulation::fp32},
    {Variant::mxfp4, "gemm_sm100", "group_gemm_mxfp4_nt_groupwise", Signature::mx_sm100, sm100, 128, 8, true, false,
     false, false, Accumulation::fp32},
    {Variant::mxfp4, "gemm_sm120", "group_gemm_mxfp4_nt_groupwise", Signature::mx_sm120, sm120, 128, 8, true, false,
     false, false, Accumulation::fp32},
    {Variant::nvfp4, "gemm_sm120", "group_gemm_nvfp4_nt_groupwise", Signature::nv_sm120, sm120, 128, 8, true, false,
     false, true, Accumulation::fp32},
}};
// clang-format on

/// A function of FlashInfer's that is cuDNN's MoE grouped matmul. What else it demands, cuDNN says.
struct CudnnEntry {
    Variant variant;
    std::string_view function;
    Capabilities capabilities;
};
inline constexpr std::array<CudnnEntry, 2> cudnn_entries{{
    {Variant::bf16, "grouped_mm_bf16", {80, 86, 87, 89, 90, 100, 103, 107, 110, 120, 121}},
    {Variant::fp8, "grouped_mm_fp8", {89, 90, 100, 103, 107, 110, 120, 121}},
}};

/// FlashInfer's own gate: _CUDNN_MOE_MIN_VERSION of grouped_mm/cudnn/core.py, major and minor. cuDNN itself has the
/// operation since 9.18.
inline constexpr std::array<int, 2> least_cudnn{9, 21};

/// Whether FlashInfer calls cuDNN of a version: "9.21.0".
[[nodiscard]] constexpr bool passes_cudnn_gate(std::string_view version) noexcept {
    std::array<int, 2> parts{};
    for (int& part : parts) {
        const std::size_t dot = std::min(version.find('.'), version.size());
        for (const char digit : version.substr(0, dot)) {
            part = 10 * part + (digit - '0');
        }
        version.remove_prefix(std::min(dot + 1, version.size()));
    }
    return parts >= least_cudnn;
}

/// A compiled module, and how FlashInfer is asked to build it.
struct ModuleInfo {
    std::string_view name;
    std::string_view architectures;  ///< FLASHINFER_CUDA_ARCH_LIST, for one build
    std::string_view generator;      ///< of flashinfer.jit.gemm
};
inline constexpr std::array<ModuleInfo, 4> modules{{
    {"gemm", "8.0", "gen_gemm_module"},
    {"gemm_sm90", "9.0a", "gen_gemm_sm90_module"},
    {"gemm_sm100", "10.0a", "gen_gemm_sm100_module"},
    {"gemm_sm120", "12.0a", "gen_gemm_sm120_module"},
}};

/// The row of a variant on a machine's capability; null where there is none.
template <class Table>
[[nodiscard]] constexpr const typename Table::value_type* find_row(const Table& table, Variant variant,
                                                                   int capability) noexcept {
    for (const auto& entry : table) {
        for (const std::int16_t taken : entry.capabilities) {
            if (entry.variant == variant && taken == capability) {
                return &entry;
            }
        }
    }
    return nullptr;
}
[[nodiscard]] constexpr const Entry* find_entry(Variant variant, int capability) noexcept {
    return find_row(entries, variant, capability);
}
[[nodiscard]] constexpr const CudnnEntry* find_cudnn_entry(Variant variant, int capability) noexcept {
    return find_row(cudnn_entries, variant, capability);
}

/// Whether the entry takes the spec, or what it demands that the spec does not have.
[[nodiscard]] Support takes(const Entry& entry, const GemmSpec& spec);

/// Why a variant has no compiled entry on a capability: what there is instead.
[[nodiscard]] Support no_entry(Variant variant, int capability);

/// A capability as people write it: "9.0".
[[nodiscard]] std::string capability_text(int capability);

}  // namespace moegemm::flashinfer
