// What provider `cublas` does on the host: which libraries and which calls it takes, and how it describes a call.
#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "op/expect_error.hpp"
#include "providers/cublas/groups.hpp"
#include "providers/cublas/library.hpp"
#include "providers/cublas/support.hpp"
#include "scoped_variable.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

std::string fake(const std::string& name) {
    return std::string(MOEGEMM_TEST_FAKE_CUBLAS) + "/libcublas_" + name + ".so";
}

void expect_refused(const std::string& path, const std::string& value, const std::string& allowed) {
    const ScopedVariable use("MOEGEMM_CUBLAS", path);
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "cuBLAS", value, allowed, [] { (void)cublas::Library::load(); }));
}

TEST(CublasLibrary, IsLoadedWithItsVersion) {
    for (const auto& [name, version] : {std::pair{"fake", "13.1.7"}, std::pair{"12_5", "12.5.7"}}) {
        const ScopedVariable use("MOEGEMM_CUBLAS", fake(name));
        EXPECT_EQ(cublas::Library::load()->version, version);
    }
}

TEST(CublasLibrary, HasGroupedProductsOfCublasLtByTheVersionOfThat) {
    for (const auto& [name, has] :
         {std::pair{"fake", false}, std::pair{"13_6", true}, std::pair{"13_7", false}, std::pair{"older_lt", false}}) {
        const ScopedVariable use("MOEGEMM_CUBLAS", fake(name));
        EXPECT_EQ(cublas::Library::load()->lt.has_value(), has) << name;
    }
    expect_refused(fake("without_lt"), fake("without_lt"), "cublasLtCreate");
}

TEST(CublasLibrary, OthersAreRefused) {
    const ScratchFolder folder;
    const std::string text = folder.write("libcublas.so.13", "this is no library\n");
    expect_refused("/nowhere/libcublas.so.13", "/nowhere/libcublas.so.13", "MOEGEMM_CUBLAS");
    expect_refused(text, text, "a library that can be loaded");
    expect_refused(folder.path().string(), text, "a library that can be loaded");
    expect_refused(fake("12_4"), "version 12.4.7", "version 12.5 or later");
    expect_refused(fake("not_grouped"), fake("not_grouped"), "cublasGemmGroupedBatchedEx");
    expect_refused(MOEGEMM_TEST_OTHER_LIBRARY, MOEGEMM_TEST_OTHER_LIBRARY, "cublasGetProperty");
}

TEST(CublasLibrary, AStatusIsAnError) {
    EXPECT_NO_THROW(cublas::check(0, "f"));
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "f", "status 15 (not supported)", "status 0",
                             [] { cublas::check(15, "f"); }));
    EXPECT_TRUE(throws_error(ErrorCode::out_of_memory, "f", "status 3", "status 0", [] { cublas::check(3, "f"); }));
    EXPECT_TRUE(throws_error(ErrorCode::internal, "f", "status 13 (execution failed)", "status 0",
                             [] { cublas::check(13, "f"); }));
}

GemmSpec small_spec(Variant variant = Variant::bf16) {
    GemmSpec spec;
    spec.variant = variant;
    spec.a = info(variant).a;
    spec.w = info(variant).w;
    spec.experts = 4;
    spec.n = 40;
    spec.k = 64;
    spec.max_rows = 9;
    return spec;
}

TEST(CublasSupport, IsBf16ToBf16) {
    for (const VariantInfo& row : variants) {
        const Support support = cublas::support_of(small_spec(row.id));
        EXPECT_EQ(support.supported, row.id == Variant::bf16) << row.name;
        EXPECT_EQ(support.reason.empty(), support.supported);
    }
    GemmSpec spec = small_spec();
    spec.dst = DType::f32;
    EXPECT_NE(cublas::support_of(spec).reason.find("gives bf16, not f32"), std::string::npos);
    spec = small_spec();
    spec.k = std::int64_t{1} << 31;
    EXPECT_NE(cublas::support_of(spec).reason.find("32 bits"), std::string::npos);
    spec = small_spec();
    spec.n = spec.k = 1;
    EXPECT_TRUE(cublas::support_of(spec).supported);
}

TEST(CublasSupport, OfCublasLtIsOfRowsOf16Bytes) {
    for (std::int64_t size = 1; size <= 64; ++size) {
        for (std::int64_t GemmSpec::*const field : {&GemmSpec::n, &GemmSpec::k}) {
            GemmSpec spec = small_spec();
            spec.*field = size;
            const Support support = cublas::lt_support_of(spec);
            EXPECT_EQ(support.supported, size % 8 == 0) << size;
            EXPECT_EQ(support.reason.find("multiples of 8") == std::string::npos, support.supported);
        }
    }
    GemmSpec spec = small_spec();
    spec.dst = DType::f32;
    EXPECT_NE(cublas::lt_support_of(spec).reason.find("gives bf16, not f32"), std::string::npos);
}

TEST(CublasSupport, OfCublasLtIsByItsVersion) {
    for (const cublas::Version& sound : {cublas::Version{13, 6, 1}, {13, 6, 2}, {13, 8, 1}, {13, 10, 0}, {14, 0, 0}}) {
        EXPECT_TRUE(cublas::has_sound_lt(sound)) << sound[1] << '.' << sound[2];
    }
    for (const cublas::Version& not_sound :
         {cublas::Version{12, 9, 2}, {13, 1, 0}, {13, 4, 0}, {13, 4, 2}, {13, 6, 0}, {13, 7, 0}, {13, 8, 0}}) {
        EXPECT_FALSE(cublas::has_sound_lt(not_sound)) << not_sound[1] << '.' << not_sound[2];
    }
}

TEST(CublasSupport, OfCublasLtIsByComputeCapability) {
    for (const int capability : {80, 89, 90, 100, 103, 110, 120, 121}) {
        EXPECT_EQ(cublas::lt_runs_on(capability), capability >= 90 && capability < 120) << capability;
    }
}

TEST(CublasGroups, AreTheExpertsWithRows) {
    const GemmSpec spec = small_spec();
    cublas::Groups groups(spec);
    const int* before = groups.rows.data();
    groups.set(spec, std::vector<std::int32_t>{0, 3, 3, 4, 9});
    EXPECT_EQ(groups.count(), 3);
    EXPECT_EQ(groups.experts, (std::vector<int>{0, 2, 3}));
    EXPECT_EQ(groups.first_rows, (std::vector<int>{0, 3, 4}));
    EXPECT_EQ(groups.rows, (std::vector<int>{3, 1, 5}));
    groups.set(spec, std::vector<std::int32_t>{0, 0, 0, 0, 0});
    EXPECT_EQ(groups.count(), 0);
    groups.set(spec, std::vector<std::int32_t>{0, 1, 2, 3, 4});
    EXPECT_EQ(groups.count(), 4);
    EXPECT_EQ(groups.rows.data(), before);  // nothing was allocated
    for (const std::vector<int>* same : {&groups.n, &groups.n_stride}) {
        EXPECT_EQ(*same, (std::vector<int>(4, 40)));
    }
    for (const std::vector<int>* same : {&groups.k, &groups.k_stride}) {
        EXPECT_EQ(*same, (std::vector<int>(4, 64)));
    }
}

}  // namespace
}  // namespace moegemm::test
