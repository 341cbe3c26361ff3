// A provider of one's own, out of moegemm's tree: bf16 and int8 on one CPU thread, cache-blocked.
//
// Three things make a provider: what it says of itself (info, supports), the plan that it makes for a problem, and the
// entry point that hands it to whoever loads this library.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <moegemm/error.hpp>
#include <moegemm/formats/bf16.hpp>
#include <moegemm/formats/f16.hpp>
#include <moegemm/plugin.hpp>

namespace {

using moegemm::DType;
using moegemm::GemmSpec;
using moegemm::Operands;

// ---- the kernel ----
//
//   for each expert, for each tile of 32 columns, for each tile of 16 rows:
//       for each 256 of K:  decode W (32 x 256) and A (16 x 256) to f32 (48 KiB: L1/L2), multiply into 16 x 32 sums
//       scale, round once, store

constexpr std::int64_t tile_rows = 16;
constexpr std::int64_t tile_columns = 32;
constexpr std::int64_t tile_k = 256;

struct Bf16Element {
    using Stored = std::uint16_t;
    using Sum = float;
    static float decode(Stored code) { return moegemm::formats::Bf16::decode(code); }
};

// 256 products of int8 stay below 2^24 in magnitude, so a tile's f32 sum is exact; tiles are added in int32.
struct Int8Element {
    using Stored = std::int8_t;
    using Sum = std::int32_t;
    static float decode(Stored value) { return static_cast<float>(value); }
};

template <class Element>
void decode_tile(const typename Element::Stored* source, std::int64_t stride, std::int64_t rows, std::int64_t depth,
                 float* tile) {
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t k = 0; k < depth; ++k) {
            tile[row * tile_k + k] = Element::decode(source[row * stride + k]);
        }
    }
}

// K runs in 8 strands, so that the compiler may keep them in one vector register.
float dot(const float* left, const float* right, std::int64_t depth) {
    constexpr std::int64_t strands = 8;
    std::array<float, strands> sums{};
    std::int64_t k = 0;
    for (; k + strands <= depth; k += strands) {
        for (std::int64_t s = 0; s < strands; ++s) {
            sums[static_cast<std::size_t>(s)] += left[k + s] * right[k + s];
        }
    }
    float sum = 0.0F;
    for (; k < depth; ++k) {
        sum += left[k] * right[k];
    }
    for (const float strand : sums) {
        sum += strand;
    }
    return sum;
}

void store(void* y, DType dst, std::int64_t index, float value) {
    switch (dst) {
        case DType::bf16:
            static_cast<std::uint16_t*>(y)[index] = moegemm::formats::Bf16::encode(value);
            break;
        case DType::f16:
            static_cast<std::uint16_t*>(y)[index] = moegemm::formats::F16::encode(value);
            break;
        default:
            static_cast<float*>(y)[index] = value;
    }
}

template <class Element>
void multiply(const GemmSpec& spec, const Operands& operands) {
    using Stored = typename Element::Stored;
    const auto* a = operands.a.as<const Stored>();
    const auto* w = operands.w.as<const Stored>();
    const auto* m_indptr = operands.m_indptr.as<const std::int32_t>();
    const auto* token_scale = operands.a_scale.as<const float>();    // null for bf16
    const auto* channel_scale = operands.w_scale.as<const float>();  // null for bf16

    alignas(64) std::array<float, tile_rows * tile_k> a_tile;
    alignas(64) std::array<float, tile_columns * tile_k> w_tile;
    std::array<typename Element::Sum, tile_rows * tile_columns> sums;

    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        for (std::int64_t n0 = 0; n0 < spec.n; n0 += tile_columns) {
            const std::int64_t columns = std::min(tile_columns, spec.n - n0);
            for (std::int64_t row0 = m_indptr[expert]; row0 < m_indptr[expert + 1]; row0 += tile_rows) {
                const std::int64_t rows = std::min<std::int64_t>(tile_rows, m_indptr[expert + 1] - row0);
                sums.fill({});
                for (std::int64_t k0 = 0; k0 < spec.k; k0 += tile_k) {
                    const std::int64_t depth = std::min(tile_k, spec.k - k0);
                    decode_tile<Element>(w + (expert * spec.n + n0) * spec.k + k0, spec.k, columns, depth,
                                         w_tile.data());
                    decode_tile<Element>(a + row0 * spec.k + k0, spec.k, rows, depth, a_tile.data());
                    for (std::int64_t i = 0; i < rows; ++i) {
                        for (std::int64_t j = 0; j < columns; ++j) {
                            sums[static_cast<std::size_t>(i * tile_columns + j)] += static_cast<typename Element::Sum>(
                                dot(a_tile.data() + i * tile_k, w_tile.data() + j * tile_k, depth));
                        }
                    }
                }
                for (std::int64_t i = 0; i < rows; ++i) {
                    for (std::int64_t j = 0; j < columns; ++j) {
                        auto value = static_cast<float>(sums[static_cast<std::size_t>(i * tile_columns + j)]);
                        if (token_scale != nullptr) {
                            value = value * token_scale[row0 + i] * channel_scale[expert * spec.n + n0 + j];
                        }
                        store(operands.y.data(), spec.dst, (row0 + i) * spec.n + n0 + j, value);
                    }
                }
            }
        }
    }
}

// ---- the provider ----

class BlockedPlan final : public moegemm::Plan {
public:
    explicit BlockedPlan(const GemmSpec& spec) : Plan(spec, {kDLCPU, 0}) {}
    [[nodiscard]] std::vector<std::string> kernels() const override { return {"blocked_16x32x256"}; }

private:
    // Plan::run has checked the operands: every pointer, shape and row offset can be trusted here.
    void do_run(const Operands& operands, void* /*stream*/) override {
        if (spec().variant == moegemm::Variant::int8) {
            multiply<Int8Element>(spec(), operands);
        } else {
            multiply<Bf16Element>(spec(), operands);
        }
    }
};

class BlockedProvider final : public moegemm::Provider {
public:
    BlockedProvider() {
        info_.name = "blocked";
        info_.version = "1.0";
        info_.description = "example plug-in: bf16 and int8 on one CPU thread, cache-blocked";
        for (const moegemm::Variant variant : {moegemm::Variant::bf16, moegemm::Variant::int8}) {
            info_.support[static_cast<std::size_t>(variant)].offered = true;  // fp32 sums, full scale range
        }
    }

    [[nodiscard]] const moegemm::ProviderInfo& info() const override { return info_; }

    [[nodiscard]] moegemm::Support supports(const GemmSpec& spec) const override {
        if (info_.support[static_cast<std::size_t>(spec.variant)].offered) {
            return moegemm::Support::yes();
        }
        return moegemm::Support::no("blocked has kernels for bf16 and int8 only, not for " +
                                    std::string(spec.row().name));
    }

    [[nodiscard]] std::unique_ptr<moegemm::Plan> plan(const GemmSpec& spec,
                                                      const moegemm::PlanOptions& options) const override {
        using moegemm::Error;
        using moegemm::ErrorCode;
        if (const moegemm::Support support = supports(spec); !support.supported) {
            throw Error(ErrorCode::unsupported, "spec", std::string(spec.row().name), support.reason);
        }
        if (options.device.device_type != kDLCPU) {
            throw Error(ErrorCode::unsupported, "device", std::to_string(options.device.device_type), "the CPU");
        }
        if (options.threads < 0) {
            throw Error(ErrorCode::invalid_argument, "threads", std::to_string(options.threads), "0 or more");
        }
        if (!options.kernel.empty()) {
            throw Error(ErrorCode::invalid_argument, "kernel", options.kernel, "empty: there is one kernel");
        }
        return std::make_unique<BlockedPlan>(spec);
    }

private:
    moegemm::ProviderInfo info_;
};

}  // namespace

// ---- the entry point ----

extern "C" MOEGEMM_EXPORT const moegemm_plugin* moegemm_plugin_entry(std::uint32_t host_abi_version) {
    static const moegemm::Plugin plugin("blocked", {std::make_shared<BlockedProvider>()});
    return plugin.entry(host_abi_version);
}
