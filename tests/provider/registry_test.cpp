#include <algorithm>

#include <gtest/gtest.h>

#include <moegemm/provider.hpp>

#include "op/expect_error.hpp"
#include "providers/reference/provider.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

class NamedProvider final : public Provider {
public:
    explicit NamedProvider(std::string name) { about_.name = std::move(name); }
    [[nodiscard]] const ProviderInfo& info() const override { return about_; }
    [[nodiscard]] Support supports(const GemmSpec& /*spec*/) const override { return Support::no("it is a name"); }
    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& /*spec*/, const PlanOptions& /*options*/) const override {
        throw Error(ErrorCode::unsupported, "spec", about_.name, "nothing");
    }

private:
    ProviderInfo about_;
};

TEST(Registry, HasTheBuiltInProviders) {
    const Registry registry = Registry::with_builtin();
    std::vector<std::string> names;
    for (const auto& provider : registry.providers()) {
        names.push_back(provider->info().name);
    }
    EXPECT_EQ(names, (std::vector<std::string>{"reference", "cpu", "onednn"}));
    EXPECT_EQ(registry.find("cpu")->info().name, "cpu");
}

TEST(Registry, NamesAreUnique) {
    Registry registry;
    registry.add(make_reference_provider(), "built in");
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "provider", "reference", "built in",
                             [&] { registry.add(std::make_shared<NamedProvider>("reference"), "/x.so"); }));
    EXPECT_EQ(registry.providers().size(), 1U);
}

TEST(Registry, AnUnknownNameListsTheKnownOnes) {
    Registry registry;
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "provider", "gpu", "no provider",
                             [&] { (void)registry.find("gpu"); }));
    registry.add(std::make_shared<NamedProvider>("one"), "a");
    registry.add(std::make_shared<NamedProvider>("two"), "b");
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "provider", "gpu", "one of one, two",
                             [&] { (void)registry.find("gpu"); }));
}

TEST(Registry, StatusKnowsTheWholeProject) {
    Registry registry = Registry::with_builtin();
    registry.add(std::make_shared<NamedProvider>("mine"), "/plugins/moegemm_mine.so");
    registry.add(std::make_shared<NamedProvider>("cudnn"), "/plugins/moegemm_cudnn.so");
    const std::vector<ProviderStatus> status = registry.status();
    std::vector<std::string> names;
    for (const ProviderStatus& row : status) {
        names.push_back(row.name);
        EXPECT_EQ(row.available, row.reason.empty()) << row.name;
        EXPECT_EQ(row.available, row.remedy.empty()) << row.name;
        EXPECT_TRUE(!row.available || !row.source.empty()) << row.name;
        EXPECT_TRUE(!row.description.empty() || row.source != "built in") << row.name;
    }
    EXPECT_EQ(names, (std::vector<std::string>{"reference", "cpu", "cuda", "hopper", "flashinfer", "cudnn", "cublas",
                                               "onednn", "mine"}));
    EXPECT_TRUE(status[0].available && status[1].available && status[5].available && status[8].available);
    EXPECT_EQ(status[0].source, "built in");
    EXPECT_EQ(status[5].source, "/plugins/moegemm_cudnn.so");
    EXPECT_FALSE(status[2].available);
    for (const std::size_t gpu : {2U, 3U, 6U}) {
        EXPECT_EQ(status[gpu].remedy, "./dev cuda");
        const char* expected =
            MOEGEMM_HAS_CUDA ? "moegemm_cuda.so, which this build makes, is not here" : "not built: ";
        EXPECT_NE(status[gpu].reason.find(expected), std::string::npos) << status[gpu].reason;
    }
    EXPECT_EQ(status[4].remedy, "./dev cuda");
    EXPECT_NE(
        status[4].reason.find(MOEGEMM_HAS_FLASHINFER ? "moegemm_flashinfer.so, which this build makes, is not here"
                                                     : "not built: "),
        std::string::npos)
        << status[4].reason;
    EXPECT_EQ(status[7].source, "built in");
}

TEST(Registry, AKnownLibraryThatIsRefusedIsTheReason) {
    const ScratchFolder folder;
    const std::string path = folder.write("moegemm_cuda.so", "this is no library\n");
    folder.write("moegemm_cudnn.so", "nor is this\n");
    Registry registry = Registry::with_builtin();
    EXPECT_EQ(registry.load_plugins(folder.path()).size(), 2U);
    for (const ProviderStatus& row : registry.status()) {
        const bool told = row.reason.find("its library was refused: plugin = " + path) != std::string::npos;
        EXPECT_EQ(told, row.name == "cuda" || row.name == "hopper" || row.name == "cublas" || row.name == "cudnn")
            << row.name << ": " << row.reason;
        if (row.name != "onednn") {  // is available where the machine has its library
            EXPECT_EQ(row.available, row.name == "cpu" || row.name == "reference") << row.name;
        }
    }
}

}  // namespace
}  // namespace moegemm::test
