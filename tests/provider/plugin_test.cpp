// Plug-in libraries, good and bad: each bad one is refused with its path and a reason, and nothing of it stays.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ostream>

#include <gtest/gtest.h>

#include <moegemm/provider.hpp>

#include "op/expect_error.hpp"
#include "provider/plugin_search.hpp"
#include "provider/random_call.hpp"
#include "providers/reference/provider.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

namespace fs = std::filesystem;

const fs::path plugins = MOEGEMM_TEST_PLUGINS;

fs::path library(const std::string& name) { return plugins / ("moegemm_" + name + ".so"); }

struct BadLibrary {
    std::string name;
    std::string reason;  ///< a part of what the error says
};

void PrintTo(const BadLibrary& bad, std::ostream* out) { *out << bad.name; }

class BadPlugin : public testing::TestWithParam<BadLibrary> {};

TEST_P(BadPlugin, IsRefusedWithItsPathAndAReason) {
    Registry registry;
    registry.add(make_reference_provider(), "built in");
    const fs::path path = library(GetParam().name);
    ASSERT_TRUE(fs::exists(path));
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "plugin", path.string(), GetParam().reason,
                             [&] { registry.load_plugin(path); }));
    EXPECT_EQ(registry.providers().size(), 1U);
    registry.load_plugin(library("tiny"));
    EXPECT_EQ(registry.find("tiny")->info().version, "1");
}

INSTANTIATE_TEST_SUITE_P(Faults, BadPlugin,
                         testing::Values(BadLibrary{"plugin_version", "of ABI version 1; it has 2"},
                                         BadLibrary{"plugin_size", "struct_size is at least"},
                                         BadLibrary{"no_providers", "at least one provider"},
                                         BadLibrary{"no_entry", "exports moegemm_plugin_entry"},
                                         BadLibrary{"null_entry", "it answers that it does not"},
                                         BadLibrary{"throwing_entry", "the entry threw"},
                                         BadLibrary{"provider_version", "provider.abi_version = 2"},
                                         BadLibrary{"provider_size", "provider.struct_size = 16"},
                                         BadLibrary{"null_function", "provider.workspace_bytes = null"},
                                         BadLibrary{"null_name", "provider.name = null"},
                                         BadLibrary{"bad_accumulation", "accumulation fp12"},
                                         BadLibrary{"name_of_another", "provider = reference"},
                                         BadLibrary{"twice", "provider = tiny"}),
                         [](const auto& test) { return test.param.name; });

TEST(Plugin, AMissingFileIsRefused) {
    Registry registry;
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "plugin", "/nowhere/moegemm_x.so", "no such file",
                             [&] { registry.load_plugin("/nowhere/moegemm_x.so"); }));
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "plugin", plugins.string(), "no such file",
                             [&] { registry.load_plugin(plugins); }));
}

TEST(Plugin, AFileThatIsNoLibraryIsRefused) {
    const ScratchFolder folder;
    const fs::path path = folder / "moegemm_text.so";
    std::ofstream(path) << "this is no shared library\n";
    Registry registry;
    EXPECT_TRUE(
        throws_error(ErrorCode::plugin, "plugin", path.string(), "can be loaded", [&] { registry.load_plugin(path); }));
    std::ofstream(path, std::ios::trunc).flush();
    EXPECT_TRUE(
        throws_error(ErrorCode::plugin, "plugin", path.string(), "can be loaded", [&] { registry.load_plugin(path); }));
}

TEST(Plugin, APlanOutlivesTheRegistry) {
    RandomCall call(small_problem(Variant::bf16), 1);
    std::unique_ptr<Plan> plan;
    {
        Registry registry;
        registry.load_plugin(library("tiny"));
        const auto provider = registry.find("tiny");
        EXPECT_TRUE(provider->info().support[static_cast<std::size_t>(Variant::bf16)].offered);
        EXPECT_FALSE(provider->info().support[static_cast<std::size_t>(Variant::int8)].offered);
        const Support support = provider->supports(small_problem(Variant::int8).spec());
        EXPECT_FALSE(support.supported);
        EXPECT_EQ(support.reason, "bf16");
        plan = provider->plan(call.problem.spec(), {});
    }
    EXPECT_EQ(plan->kernels(), std::vector<std::string>{"zeros"});
    plan->run(call.operands);
    EXPECT_TRUE(call.y->all(0));
    EXPECT_TRUE(call.guards_intact());
}

TEST(Plugin, AProviderThatCannotWorkHereIsListedWithItsReason) {
    Registry registry;
    registry.load_plugin(library("unavailable"));
    EXPECT_EQ(registry.find("tiny")->info().unavailable, "there is no tiny device");
    const ProviderStatus status = registry.status().back();
    EXPECT_EQ(status.name, "tiny");
    EXPECT_FALSE(status.available);
    EXPECT_EQ(status.reason, "there is no tiny device");
    EXPECT_FALSE(status.remedy.empty());
    EXPECT_EQ(status.source, library("unavailable").string());
}

TEST(Plugin, ABrokenContractIsAPluginError) {
    RandomCall call(small_problem(Variant::bf16), 1);
    const auto run = [&](const std::string& name) {
        Registry registry;
        registry.load_plugin(library(name));
        registry.find("tiny")->plan(call.problem.spec(), {})->run(call.operands);
    };
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "tiny.plan", "a null plan", "a plan", [&] { run("null_plan"); }));
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "tiny.run", "status 99", "0 … 8", [&] { run("unknown_status"); }));
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "tiny.run", "status 5", "the same status in last_error",
                             [&] { run("silent_status"); }));
    EXPECT_TRUE(call.y->all(RandomCall::poison));
}

TEST(Plugin, ExceptionsThatEscapeBecomePluginErrors) {
    Registry registry;
    registry.load_plugin(library("throwing"));
    const auto provider = registry.find("throwing");
    GemmSpec unlucky = small_problem(Variant::bf16).spec();
    unlucky.experts = 13;
    const Support support = provider->supports(unlucky);
    EXPECT_FALSE(support.supported);
    EXPECT_NE(support.reason.find("supports threw"), std::string::npos) << support.reason;
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "throwing.plan", "plan threw", "no exception",
                             [&] { (void)provider->plan(unlucky, {}); }));

    RandomCall call(small_problem(Variant::bf16), 1);
    const auto plan = provider->plan(call.problem.spec(), {});
    EXPECT_TRUE(plan->kernels().empty());
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "throwing.run", "unknown type", "no exception",
                             [&] { plan->run(call.operands); }));
    EXPECT_TRUE(call.y->all(RandomCall::poison));
    plan->run(call.operands);
    EXPECT_EQ(call.operands.y.as<float>()[0], 1.0F);
}

TEST(PluginFolder, LoadsWhatItCanInTheOrderOfNames) {
    const ScratchFolder folder;
    fs::copy(library("tiny"), folder / "moegemm_b_tiny.so");
    fs::copy(library("throwing"), folder / "moegemm_a_throwing.so");
    fs::copy(library("null_entry"), folder / "moegemm_c.so");
    fs::copy(library("null_entry"), folder / "other.so");
    std::ofstream(folder / "moegemm_notes.txt") << "not a plug-in\n";
    Registry registry;
    const auto errors = registry.load_plugins(folder.path());
    ASSERT_EQ(errors.size(), 1U);
    EXPECT_NE(errors[0].find("moegemm_c.so"), std::string::npos);
    ASSERT_EQ(registry.providers().size(), 2U);
    EXPECT_EQ(registry.providers()[0]->info().name, "throwing");
    EXPECT_EQ(registry.providers()[1]->info().name, "tiny");
    EXPECT_EQ(registry.load_plugins(folder.path()).size(), 1U);  // what is loaded already is passed over
    EXPECT_TRUE(registry.load_plugins(folder / "missing").empty());
    EXPECT_EQ(load_plugins_at(registry, folder / "missing").size(), 1U);
}

TEST(PluginFolder, TheEnvironmentNamesFilesAndFolders) {
    const ScratchFolder folder;
    fs::copy(library("throwing"), folder / "moegemm_throwing.so");
    const std::string value = library("tiny").string() + "::" + folder.path().string() + ":/nowhere/at/all";
    ASSERT_EQ(setenv(plugin_path_variable, value.c_str(), 1), 0);
    Registry registry;
    const auto errors = load_default_plugins(registry);
    ASSERT_EQ(unsetenv(plugin_path_variable), 0);
    ASSERT_EQ(errors.size(), 1U);
    EXPECT_NE(errors[0].find("/nowhere/at/all"), std::string::npos);
    EXPECT_EQ(registry.find("tiny")->info().name, "tiny");
    EXPECT_EQ(registry.find("throwing")->info().name, "throwing");
}

TEST(PluginFolder, DefaultsLieBesideTheProgram) {
    const fs::path program = fs::read_symlink("/proc/self/exe");
    const auto folders = default_plugin_folders();
    ASSERT_EQ(folders.size(), 2U);
    EXPECT_EQ(folders[0], program.parent_path() / "plugins");
    EXPECT_EQ(folders[1], program.parent_path().parent_path() / "lib/moegemm/plugins");
}

}  // namespace
}  // namespace moegemm::test
