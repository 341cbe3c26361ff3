// When FlashInfer's bf16 and fp8 go to cuDNN, and when to its segment GEMM. A double stands for provider `cudnn`.
#include <random>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "op/expect_error.hpp"
#include "providers/cpu/call.hpp"
#include "providers/cudnn/support.hpp"
#include "providers/flashinfer/entry.hpp"
#include "providers/flashinfer/host_machine.hpp"
#include "providers/flashinfer/provider.hpp"

namespace moegemm::test {
namespace {

using flashinfer::passes_cudnn_gate;

static_assert(!passes_cudnn_gate(""));
static_assert(!passes_cudnn_gate("9"));
static_assert(!passes_cudnn_gate("9.3.0"));
static_assert(!passes_cudnn_gate("9.18.0"));
static_assert(!passes_cudnn_gate("9.20.99"));
static_assert(passes_cudnn_gate("9.21.0"));
static_assert(passes_cudnn_gate("9.28.1"));
static_assert(passes_cudnn_gate("10.0.0"));

/// Takes what provider `cudnn` asks its library for, and computes in float64.
class CudnnDouble final : public Provider {
public:
    static constexpr const char* kernel = "float64";

    /// \param refusal what the library says of every spec; empty: nothing
    explicit CudnnDouble(std::string version, std::string refusal = {})
        : float64_(Registry::with_builtin().find("reference")), refusal_(std::move(refusal)) {
        info_.name = "cudnn";
        info_.version = std::move(version);
        info_.support[static_cast<std::size_t>(Variant::bf16)] = {true, Accumulation::promoted_128, ScaleRange::full};
        info_.support[static_cast<std::size_t>(Variant::fp8)] = {true, Accumulation::fp32, ScaleRange::full};
    }
    static std::shared_ptr<CudnnDouble> not_found() {
        auto made = std::make_shared<CudnnDouble>("");
        made->info_.unavailable = "no libcudnn.so.9";
        return made;
    }

    [[nodiscard]] const ProviderInfo& info() const override { return info_; }
    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        return refusal_.empty() ? cudnn::support_of(spec) : Support::no(refusal_);
    }
    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        if (!options.kernel.empty()) {
            throw Error(ErrorCode::invalid_argument, "kernel", options.kernel, "none: cuDNN chooses its kernels");
        }
        return float64_->plan(spec, options);
    }

private:
    std::shared_ptr<const Provider> float64_;
    std::string refusal_;
    ProviderInfo info_;
};

constexpr const char* segment_gemm = "gemm_sm90.cutlass_segment_gemm_sm90";

std::shared_ptr<const Provider> provider_on(int capability, std::shared_ptr<const Provider> cudnn,
                                            std::vector<std::filesystem::path> folders = {
                                                MOEGEMM_TEST_FLASHINFER_DOUBLES}) {
    return make_flashinfer_provider(std::make_shared<HostMachine>(capability),
                                    std::make_shared<flashinfer::ModuleLibrary>(std::move(folders), true),
                                    std::move(cudnn));
}

std::shared_ptr<const Provider> provider_with(const std::string& version, const std::string& refusal = {}) {
    return provider_on(90, std::make_shared<CudnnDouble>(version, refusal));
}

GemmSpec spec_of(Variant variant) {
    GemmSpec spec;
    spec.variant = variant;
    spec.a = info(variant).a;
    spec.w = info(variant).w;
    spec.experts = 3;
    spec.n = 24;
    spec.k = 32;
    spec.max_rows = 6;
    return spec;
}

GemmSpec fp8_with_alpha() {
    GemmSpec spec = spec_of(Variant::fp8);
    spec.has_alpha = true;
    return spec;
}

std::string kernel_of(const Provider& provider, const GemmSpec& spec, const std::string& kernel = {}) {
    PlanOptions options;
    options.kernel = kernel;
    return provider.plan(spec, options)->kernels().front();
}

void expect_conforming(const Provider& provider, const GemmSpec& spec) {
    std::mt19937_64 random(13);
    const Call call(Problem::from(spec, {0, 4, 4, 6}), random);
    const Call::Expected expected = call.expected();
    RunOptions options;
    options.packed = false;
    expect_conforms(run_call(provider, call.spec(), call.operands(), options), spec.dst, spec.n, expected.y,
                    expected.magnitude, tolerance_of(spec.dst), describe(call.problem(), {}));
}

TEST(FlashInferCudnn, IsCalledFromFlashInfersVersionOn) {
    for (const Variant variant : {Variant::bf16, Variant::fp8}) {
        const GemmSpec spec = spec_of(variant);
        for (const char* version : {"9.18.0", "9.19.0", "9.20.1"}) {
            const auto provider = provider_with(version);
            EXPECT_EQ(kernel_of(*provider, spec), segment_gemm) << version;
            expect_conforming(*provider, spec);
        }
        for (const char* version : {"9.21.0", "9.28.1"}) {
            const auto provider = provider_with(version);
            EXPECT_EQ(kernel_of(*provider, spec), CudnnDouble::kernel) << version;
            expect_conforming(*provider, spec);
        }
        EXPECT_EQ(kernel_of(*provider_on(90, CudnnDouble::not_found()), spec), segment_gemm);
        EXPECT_EQ(kernel_of(*provider_on(90, nullptr), spec), segment_gemm);
    }
}

TEST(FlashInferCudnn, TakesWhatTheSegmentGemmDoesNot) {
    const auto provider = provider_with("9.21.0");
    expect_conforming(*provider, fp8_with_alpha());
    GemmSpec types = spec_of(Variant::fp8);
    types.w = DType::e5m2;
    types.dst = DType::f32;
    expect_conforming(*provider, types);
    GemmSpec halves = spec_of(Variant::bf16);
    halves.dst = DType::f16;
    expect_conforming(*provider, halves);
}

TEST(FlashInferCudnn, WhatWouldOpenTheGateIsPartOfTheReason) {
    const auto reason = [](std::shared_ptr<const Provider> cudnn) {
        return provider_on(90, std::move(cudnn))->supports(fp8_with_alpha()).reason;
    };
    constexpr const char* text =
        "FlashInfer's grouped_mm_fp8 takes cuDNN 9.21 or later: {}; FlashInfer's cutlass_segment_gemm_sm90 takes no "
        "alpha: it is fixed at 1";
    EXPECT_EQ(reason(std::make_shared<CudnnDouble>("9.20.1")), fmt::format(text, "this is 9.20.1"));
    EXPECT_EQ(reason(CudnnDouble::not_found()), fmt::format(text, "no libcudnn.so.9"));
    EXPECT_EQ(reason(nullptr), fmt::format(text, "this was built without cuDNN's headers"));
    EXPECT_EQ(reason(std::make_shared<CudnnDouble>("9.21.0")), "");
}

TEST(FlashInferCudnn, WhatItRefusesGoesToTheSegmentGemm) {
    const auto refusing = provider_with("9.21.0", "no kernel for this");
    EXPECT_EQ(kernel_of(*refusing, spec_of(Variant::bf16)), segment_gemm);
    expect_conforming(*refusing, spec_of(Variant::bf16));
    const auto expect_reason = [](const Provider& provider, const GemmSpec& spec, const char* reason) {
        EXPECT_EQ(provider.supports(spec).reason, reason);
        EXPECT_TRUE(throws_error(ErrorCode::unsupported, "variant", info(spec.variant).name, reason,
                                 [&] { (void)provider.plan(spec, {}); }));
    };
    expect_reason(*refusing, fp8_with_alpha(),
                  "FlashInfer's grouped_mm_fp8: no kernel for this; FlashInfer's cutlass_segment_gemm_sm90 takes no "
                  "alpha: it is fixed at 1");
    GemmSpec narrow = spec_of(Variant::bf16);
    narrow.k = 12;
    expect_reason(*provider_with("9.21.0"), narrow,
                  "FlashInfer's grouped_mm_bf16: cuDNN takes rows of a multiple of 16 bytes: those of A and W have 24, "
                  "those of y 48; FlashInfer's cutlass_segment_gemm_sm90 takes K in multiples of 8: hidden_size is 12");
}

TEST(FlashInferCudnn, NamingAFunctionChooses) {
    const GemmSpec spec = spec_of(Variant::bf16);
    const auto both = provider_with("9.21.0");
    EXPECT_EQ(kernel_of(*both, spec, "grouped_mm_bf16"), CudnnDouble::kernel);
    EXPECT_EQ(kernel_of(*both, spec, "cutlass_segment_gemm_sm90"), segment_gemm);
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "kernel", "grouped_mm_fp8",
                             "grouped_mm_bf16 or cutlass_segment_gemm_sm90",
                             [&] { (void)kernel_of(*both, spec, "grouped_mm_fp8"); }));
    // The one that is named, and no other in its place.
    const auto refusing = provider_with("9.21.0", "no kernel for this");
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "variant", "bf16", "grouped_mm_bf16: no kernel for this",
                             [&] { (void)kernel_of(*refusing, spec, "grouped_mm_bf16"); }));
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "variant", "fp8", "takes no alpha",
                             [&] { (void)kernel_of(*both, fp8_with_alpha(), "cutlass_segment_gemm_sm90"); }));
}

TEST(FlashInferCudnn, RunsOnFlashInfersArchitectures) {
    const auto by_cudnn = [](int capability, Variant variant) {
        const auto provider = provider_on(capability, std::make_shared<CudnnDouble>("9.21.0"));
        return provider->supports(spec_of(variant)).supported &&
               kernel_of(*provider, spec_of(variant)) == CudnnDouble::kernel;
    };
    for (const int capability : {80, 86, 87, 89, 90, 100, 103, 107, 110, 120, 121}) {
        EXPECT_TRUE(by_cudnn(capability, Variant::bf16)) << capability;
        EXPECT_EQ(by_cudnn(capability, Variant::fp8), capability >= 89) << capability;
    }
    EXPECT_FALSE(by_cudnn(75, Variant::bf16));
    EXPECT_EQ(provider_on(80, std::make_shared<CudnnDouble>("9.21.0"))->supports(spec_of(Variant::fp8)).reason,
              "FlashInfer has no compiled grouped fp8 for compute capability 8.0: only for 9.0");
}

TEST(FlashInferCudnn, IsPartOfWhatTheProviderSaysOfItself) {
    const auto accumulation = [](const ProviderInfo& about, Variant variant) {
        return about.support[static_cast<std::size_t>(variant)].accumulation;
    };
    const auto with = provider_with("9.21.0");
    EXPECT_TRUE(with->info().version.ends_with(", cuDNN 9.21.0)")) << with->info().version;
    EXPECT_NE(with->info().description.find("bf16 and fp8 by cuDNN"), std::string::npos);
    // The looser of both.
    EXPECT_EQ(accumulation(with->info(), Variant::bf16), Accumulation::promoted_128);
    EXPECT_EQ(accumulation(with->info(), Variant::fp8), Accumulation::fast);
    const auto without = provider_with("9.20.1");
    EXPECT_EQ(without->info().version.find("cuDNN"), std::string::npos) << without->info().version;
    EXPECT_EQ(without->info().description.find("cuDNN"), std::string::npos);
    EXPECT_EQ(accumulation(without->info(), Variant::bf16), Accumulation::fp32);
}

TEST(FlashInferCudnn, NeedsNoModule) {
    const auto without_modules = provider_on(90, std::make_shared<CudnnDouble>("9.21.0"), {});
    EXPECT_EQ(without_modules->info().unavailable, "");
    EXPECT_EQ(kernel_of(*without_modules, spec_of(Variant::bf16)), CudnnDouble::kernel);
    EXPECT_FALSE(without_modules->supports(spec_of(Variant::int8)).supported);
    const auto with_neither = provider_on(90, std::make_shared<CudnnDouble>("9.20.1"), {});
    EXPECT_NE(with_neither->info().unavailable.find("module gemm_sm90 is not here"), std::string::npos);
}

}  // namespace
}  // namespace moegemm::test
