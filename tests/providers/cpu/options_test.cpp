// Plans, their options, and what they refuse.
#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "providers/cpu/call.hpp"
#include "providers/cpu/provider.hpp"
#include "providers/cpu/thread_pool.hpp"
#include "scoped_variable.hpp"

namespace moegemm::test {
namespace {

GemmSpec small_spec() {
    GemmSpec spec;
    spec.experts = 3;
    spec.n = 70;
    spec.k = 200;
    spec.max_rows = 9;
    return spec;
}

Error plan_error(const PlanOptions& options) {
    try {
        (void)make_cpu_provider()->plan(small_spec(), options);
    } catch (const Error& error) {
        return error;
    }
    ADD_FAILURE() << "a plan was made";
    return {ErrorCode::ok, "", "", ""};
}

TEST(CpuProvider, OffersEveryVariantInFullRange) {
    const auto provider = make_cpu_provider();
    EXPECT_EQ(provider->info().name, "cpu");
    for (const VariantSupport& support : provider->info().support) {
        EXPECT_TRUE(support.offered);
        EXPECT_EQ(support.accumulation, Accumulation::fp32);
        EXPECT_EQ(support.scale_range, ScaleRange::full);
    }
    EXPECT_TRUE(provider->supports(small_spec()).supported);
}

TEST(CpuProvider, GenericKernelsAreAlwaysThereAndLast) {
    ASSERT_FALSE(kernel_names().empty());
    EXPECT_EQ(kernel_names().back(), "generic");
}

/// What a plan for bf16 says of its kernels.
std::vector<std::string> kernels_named(const std::string& family) {
    const char* kernel = family == "amx"           ? "/bf16_matrix"
                         : family == "avx512_bf16" ? "/bf16_dot"
                         : family == "avx512_gfni" ? "/bf16_fma"
                                                   : "/f32_tile";
    return {"cpu/" + family + kernel};
}

TEST(CpuProvider, KernelByOption) {
    for (const std::string& name : kernel_names()) {
        PlanOptions options;
        options.kernel = name;
        EXPECT_EQ(make_cpu_provider()->plan(small_spec(), options)->kernels(), kernels_named(name));
    }
}

TEST(CpuProvider, KernelByEnvironmentVariable) {
    const ScopedVariable variable("MOEGEMM_CPU_KERNEL", "generic");
    EXPECT_EQ(make_cpu_provider()->plan(small_spec(), {})->kernels(), kernels_named("generic"));
    PlanOptions options;
    options.kernel = kernel_names().front();  // the option is the stronger
    EXPECT_EQ(make_cpu_provider()->plan(small_spec(), options)->kernels(), kernels_named(kernel_names().front()));
}

TEST(CpuProvider, UnknownKernelIsRefused) {
    PlanOptions options;
    options.kernel = "mmx";
    const Error error = plan_error(options);
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.argument(), "kernel");
    EXPECT_EQ(error.value(), "mmx");
    for (const std::string& name : kernel_names()) {
        EXPECT_NE(error.allowed().find(name), std::string::npos) << error.allowed();
    }
}

TEST(CpuProvider, UnknownKernelInTheEnvironmentIsRefusedByItsName) {
    const ScopedVariable variable("MOEGEMM_CPU_KERNEL", "mmx");
    EXPECT_EQ(plan_error({}).argument(), "MOEGEMM_CPU_KERNEL");
}

TEST(CpuProvider, ThreadsOutOfRangeAreRefused) {
    for (const int threads : {-1, 1000000}) {
        PlanOptions options;
        options.threads = threads;
        const Error error = plan_error(options);
        EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
        EXPECT_EQ(error.argument(), "threads");
    }
}

TEST(CpuProvider, AnotherDeviceIsRefused) {
    PlanOptions options;
    options.device = {kDLCUDA, 0};
    EXPECT_EQ(plan_error(options).argument(), "device");
}

TEST(CpuProvider, SizesThatOverflowAreRefused) {
    GemmSpec spec = small_spec();
    spec.experts = std::int64_t{1} << 30;
    spec.n = (std::int64_t{1} << 31) - 1;
    spec.k = std::int64_t{1} << 20;
    try {
        (void)make_cpu_provider()->plan(spec, {});
        FAIL() << "a plan was made";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::overflow);
        EXPECT_EQ(error.argument(), "packed_w");
    }
}

/// Packed weights hold the contract's bytes and the padding of the last panel, nothing else.
TEST(CpuProvider, PackedBytesAreTheTensorsAndThePaddingOfAPanelAndInt8sSums) {
    for (const VariantInfo& row : variants) {
        std::mt19937_64 random(3);
        GemmSpec spec = random_problem(row.id, random, {}).spec();
        spec.n = 256;
        spec.k = 1024;
        spec.max_rows = 4;
        std::int64_t bytes = 0;
        spec.scale_layout = row.scaling == Scaling::group ? ScaleLayout::linear : spec.scale_layout;
        for (const TensorSpec& tensor : tensor_specs(spec, 4)) {
            bytes += tensor.role == Role::w || tensor.role == Role::w_scale ? tensor.bytes : 0;
        }
        bytes += spec.w == DType::i8 ? spec.experts * spec.n * 4 : 0;
        const auto packed = static_cast<std::int64_t>(make_cpu_provider()->plan(spec, {})->packed_bytes());
        EXPECT_GE(packed, bytes) << row.name;
        EXPECT_LT(packed, bytes + 64) << row.name;
    }
}

TEST(CpuProvider, NoRowsIsACallThatSucceeds) {
    for (const VariantInfo& row : variants) {
        std::mt19937_64 random(5);
        const GemmSpec spec = random_problem(row.id, random, {}).spec();
        const std::vector<std::int32_t> none(static_cast<std::size_t>(spec.experts) + 1, 0);
        const Call call(Problem::from(spec, none), random);
        EXPECT_TRUE(run_cpu(call, {"", 2, true}).empty());
        EXPECT_TRUE(run_cpu(call, {"", 2, false}).empty());
    }
}

TEST(CpuProvider, AtLeastOneProcessorIsUsable) { EXPECT_GE(cpu::usable_processors(), 1); }

}  // namespace
}  // namespace moegemm::test
