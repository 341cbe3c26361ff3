// Which libraries are taken for oneDNN, and what is said of those that are not.
#include <gtest/gtest.h>

#include "providers/onednn/onednn_library.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

/// Fails where the provider over `path` is available, or says why not in other words.
void expect_unavailable(const std::string& path, const std::vector<std::string>& words) {
    const auto provider = provider_over(path);
    const std::string& reason = provider->info().unavailable;
    EXPECT_EQ(provider->info().name, "onednn");
    for (const std::string& word : words) {
        EXPECT_NE(reason.find(word), std::string::npos) << reason;
    }
    GemmSpec spec;
    spec.experts = 2;
    spec.n = 8;
    spec.k = 8;
    spec.max_rows = 4;
    const Support support = provider->supports(spec);
    EXPECT_FALSE(support.supported);
    EXPECT_EQ(support.reason, reason);
}

TEST(OnednnLibrary, IsLoadedWithItsVersion) {
    const auto provider = provider_over(fake_onednn("fake"));
    EXPECT_EQ(provider->info().unavailable, "");
    EXPECT_EQ(provider->info().version, "3.5.1");
}

TEST(OnednnLibrary, AFileThatIsNotThere) {
    expect_unavailable("/nowhere/libdnnl.so.3", {"/nowhere/libdnnl.so.3", "MOEGEMM_ONEDNN"});
}

TEST(OnednnLibrary, AFolderWithoutIt) {
    const ScratchFolder folder;
    expect_unavailable(folder.path().string(), {"libdnnl.so.3 or libdnnl.so", "MOEGEMM_ONEDNN"});
}

TEST(OnednnLibrary, IsFoundInAFolder) {
    const ScratchFolder folder;
    std::filesystem::copy_file(fake_onednn("fake"), folder.path() / "libdnnl.so.3");
    EXPECT_EQ(provider_over(folder.path().string())->info().unavailable, "");
}

TEST(OnednnLibrary, AFileThatIsNoLibrary) {
    const ScratchFolder folder;
    const std::string path = folder.write("libdnnl.so.3", "this is no library\n");
    expect_unavailable(path, {path, "a library that can be loaded"});
    expect_unavailable(folder.path().string(), {path, "a library that can be loaded"});
}

TEST(OnednnLibrary, AVersionThatIsTooOld) {
    expect_unavailable(fake_onednn("major_2"), {"libdnnl_major_2.so", "version 2.5.1", "needed is version 3.x"});
}

TEST(OnednnLibrary, AVersionThatIsTooNew) { expect_unavailable(fake_onednn("major_4"), {"version 4.5.1", "3.x"}); }

TEST(OnednnLibrary, OneBuiltForSycl) { expect_unavailable(fake_onednn("sycl"), {"built for SYCL", "OpenMP"}); }

TEST(OnednnLibrary, OneThatLacksAFunction) {
    expect_unavailable(fake_onednn("no_stream_wait"), {"libdnnl_no_stream_wait.so", "dnnl_stream_wait"});
}

TEST(OnednnLibrary, OneThatIsAnotherLibrary) {
    expect_unavailable(MOEGEMM_TEST_OTHER_LIBRARY, {"the function dnnl_version"});
}

}  // namespace
}  // namespace moegemm::test
