// What provider `cudnn` does on the host: which libraries it takes, and which calls it does not ask cuDNN for.
#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "op/expect_error.hpp"
#include "providers/cudnn/library.hpp"
#include "providers/cudnn/support.hpp"
#include "scoped_variable.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

std::string fake(const std::string& name) { return std::string(MOEGEMM_TEST_FAKE_CUDNN) + "/libcudnn_" + name + ".so"; }

void expect_refused(const std::string& path, const std::string& value, const std::string& allowed) {
    const ScopedVariable use("MOEGEMM_CUDNN", path);
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "cuDNN", value, allowed, [] { (void)cudnn::Library::load(); }));
}

TEST(CudnnLibrary, IsLoadedWithItsVersion) {
    {
        const ScopedVariable use("MOEGEMM_CUDNN", fake("fake"));
        const cudnn::Library library = cudnn::Library::load();
        EXPECT_EQ(library.version, "9.19.0");
        EXPECT_EQ(library.file.path(), fake("fake"));
        EXPECT_FALSE(library.takes_end());
        EXPECT_FALSE(library.takes_scalar());
    }
    const ScopedVariable use("MOEGEMM_CUDNN", fake("9_28"));
    EXPECT_EQ(cudnn::Library::load().version, "9.28.1");
    EXPECT_TRUE(cudnn::Library::load().takes_end());
    EXPECT_TRUE(cudnn::Library::load().takes_scalar());
}

TEST(CudnnLibrary, OthersAreRefused) {
    const ScratchFolder folder;
    const std::string text = folder.write("libcudnn.so.9", "this is no library\n");
    expect_refused("/nowhere/libcudnn.so.9", "/nowhere/libcudnn.so.9", "MOEGEMM_CUDNN");
    expect_refused(text, text, "a library that can be loaded");
    expect_refused(folder.path().string(), text, "a library that can be loaded");
    expect_refused(fake("9_17"), "version 9.17.1", "version 9.18 or later");
    expect_refused(fake("10_0"), "version 10.0.0", "version 9.18 or later of 9");
    expect_refused(fake("no_version"), fake("no_version"), "cudnnGetVersion");
    expect_refused(fake("no_backend"), fake("no_backend"), "cudnnBackendExecute");
    expect_refused(MOEGEMM_TEST_OTHER_LIBRARY, MOEGEMM_TEST_OTHER_LIBRARY, "cudnnGetVersion");
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

TEST(CudnnSupport, IsBf16AndFp8InRowsOfWholePieces) {
    for (const VariantInfo& row : variants) {
        const Support support = cudnn::support_of(small_spec(row.id));
        EXPECT_EQ(support.supported, row.id == Variant::bf16 || row.id == Variant::fp8) << row.name;
        EXPECT_EQ(support.reason.empty(), support.supported);
    }
    const auto reason_with = [](Variant variant, auto change) {
        GemmSpec spec = small_spec(variant);
        change(spec);
        return cudnn::support_of(spec).reason;
    };
    EXPECT_EQ(reason_with(Variant::bf16, [](GemmSpec& spec) { spec.k = 72; }), "");
    EXPECT_NE(reason_with(Variant::fp8, [](GemmSpec& spec) { spec.k = 72; }).find("those of A and W have 72"),
              std::string::npos);
    EXPECT_EQ(reason_with(Variant::fp8, [](GemmSpec& spec) { spec.n = 8; }), "");
    EXPECT_NE(reason_with(Variant::bf16, [](GemmSpec& spec) { spec.n = 4; }).find("those of y 8"), std::string::npos);
    EXPECT_NE(reason_with(Variant::bf16, [](GemmSpec& spec) { spec.max_rows = 0; }).find("without rows"),
              std::string::npos);
}

}  // namespace
}  // namespace moegemm::test
