#include "providers/flashinfer/entry.hpp"

#include <limits>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moegemm::flashinfer {

std::string capability_text(int capability) { return fmt::format("{}.{}", capability / 10, capability % 10); }

Support takes(const Entry& entry, const GemmSpec& spec) {
    const auto refuse = [&](std::string why) {
        return Support::no(fmt::format("FlashInfer's {} takes {}", entry.function, std::move(why)));
    };
    // int32 holds sizes, and the padded rows' m_indptr.
    constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();
    if (spec.k > largest || spec.n > largest || spec.max_rows > largest - 4 * spec.experts) {
        return refuse(fmt::format("K, N and M + 4*E of at most {}: they are {}, {} and {} + 4*{}", largest, spec.k,
                                  spec.n, spec.max_rows, spec.experts));
    }
    if (spec.k % entry.k_multiple != 0) {
        return refuse(fmt::format("K in multiples of {}: hidden_size is {}", entry.k_multiple, spec.k));
    }
    if (spec.n % entry.n_multiple != 0) {
        return refuse(fmt::format("N in multiples of {}: new_hidden_size is {}", entry.n_multiple, spec.n));
    }
    if (spec.dst == DType::f32 || (spec.dst == DType::f16 && !entry.f16_out)) {
        return refuse(fmt::format("dst_dtype bfloat16{}: it is {}", entry.f16_out ? " or float16" : "",
                                  info(spec.dst).long_name));
    }
    if (entry.same_type && spec.a != spec.w) {
        return refuse(fmt::format("A and W of one type: they are {} and {}", info(spec.a).name, info(spec.w).name));
    }
    if (entry.one_expert && spec.experts > 1) {
        return refuse(fmt::format("one expert only on this architecture (its results are wrong for more): there are {}",
                                  spec.experts));
    }
    if (spec.has_alpha && !entry.alpha) {
        return refuse("no alpha: it is fixed at 1");
    }
    return Support::yes();
}

Support no_entry(Variant variant, int capability) {
    const std::string_view name = info(variant).name;
    std::vector<std::string> elsewhere;
    for (const Entry& entry : entries) {
        for (const std::int16_t taken : entry.capabilities) {
            if (entry.variant == variant && taken != 0) {
                elsewhere.push_back(capability_text(taken));
            }
        }
    }
    if (!elsewhere.empty()) {
        const std::string_view loop =
            variant == Variant::fp8_block && capability == 90
                ? "; what it has on 9.0, fp8_blockscale_gemm_sm90, is a dense product: a loop over experts"
                : "";
        return Support::no(fmt::format("FlashInfer has no compiled grouped {} for compute capability {}: only for {}{}",
                                       name, capability_text(capability), fmt::join(elsewhere, " "), loop));
    }
    switch (variant) {
        case Variant::mxfp8:
        case Variant::mxfp4_a4:
            return Support::no(fmt::format("FlashInfer runs grouped {} through cuDNN, which is not called here", name));
        default:
            return Support::no(fmt::format("FlashInfer has no grouped GEMM of {}", name));
    }
}

}  // namespace moegemm::flashinfer
