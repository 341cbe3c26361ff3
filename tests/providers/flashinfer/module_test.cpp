// Modules that are not what they should be: an error or a reason with what was expected, and the process goes on.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "op/expect_error.hpp"
#include "providers/cpu/call.hpp"
#include "providers/flashinfer/entry.hpp"
#include "providers/flashinfer/host_machine.hpp"
#include "providers/flashinfer/module_file.hpp"
#include "providers/flashinfer/provider.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

using flashinfer::DeviceCode;
using flashinfer::ModuleLibrary;
using flashinfer::read_module_file;

namespace fs = std::filesystem;

const fs::path doubles = MOEGEMM_TEST_FLASHINFER_DOUBLES;
const fs::path faulty = MOEGEMM_TEST_FLASHINFER_FAULTY;

std::string reason_of(const fs::path& folder, bool any_architecture = true) {
    const ModuleLibrary::Found found = ModuleLibrary({folder}, any_architecture).find("gemm_sm90", 90);
    EXPECT_EQ(found.module, nullptr);
    return found.reason;
}

testing::AssertionResult holds(const std::string& text, std::initializer_list<const char*> parts) {
    for (const char* part : parts) {
        if (text.find(part) == std::string::npos) {
            return testing::AssertionFailure() << "no \"" << part << "\" in: " << text;
        }
    }
    return testing::AssertionSuccess();
}

std::string contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST(FlashInferModule, AMissingOneComesWithTheCommandThatBuildsIt) {
    const ScratchFolder scratch;
    EXPECT_TRUE(holds(reason_of(scratch.path()),
                      {"module gemm_sm90 is not here", scratch.path().c_str(), "MOEGEMM_FLASHINFER_PATH",
                       "FLASHINFER_CUDA_ARCH_LIST=9.0a", "gen_gemm_sm90_module().build_and_load()"}));
    EXPECT_TRUE(holds(ModuleLibrary({}, true).find("gemm_sm90", 90).reason, {"none of its folders is there"}));
    const auto provider = make_flashinfer_provider(
        std::make_shared<HostMachine>(90), std::make_shared<ModuleLibrary>(std::vector{scratch.path()}, true), nullptr);
    EXPECT_TRUE(holds(provider->info().unavailable, {"module gemm_sm90 is not here"}));
}

TEST(FlashInferModule, IsFoundInAFolderOfItsOwnOrBesideOthers) {
    const ScratchFolder scratch;
    fs::create_directories(scratch.path() / "gemm_sm90");
    fs::copy_file(doubles / "gemm_sm90.so", scratch.path() / "gemm_sm90/gemm_sm90.so");
    EXPECT_NE(ModuleLibrary({scratch.path()}, true).find("gemm_sm90", 90).module, nullptr);
    EXPECT_NE(ModuleLibrary({doubles}, true).find("gemm_sm90", 90).module, nullptr);
}

TEST(FlashInferModule, ALaterOneIsTakenWhereTheFirstIsBad) {
    const ScratchFolder scratch;
    (void)scratch.write("gemm_sm90.so", "not a library");
    EXPECT_NE(ModuleLibrary({scratch.path(), doubles}, true).find("gemm_sm90", 90).module, nullptr);
}

TEST(FlashInferModule, CorruptFilesAreRefusedBeforeTheyAreMapped) {
    const ScratchFolder scratch;
    const auto with = [&](const std::string& text) {
        (void)scratch.write("gemm_sm90.so", text);
        return reason_of(scratch.path());
    };
    const std::string whole = contents(doubles / "gemm_sm90.so");
    ASSERT_GT(whole.size(), 20000U);
    EXPECT_TRUE(holds(with(""), {"cannot be used", "a shared library"}));
    EXPECT_TRUE(holds(with("not a library, but a text of more than sixty-four bytes, as many as an ELF header has"),
                      {"a shared library"}));
    for (const std::size_t size : {std::size_t{70}, std::size_t{5000}, whole.size() / 2, whole.size() - 5000}) {
        EXPECT_TRUE(holds(with(whole.substr(0, size)), {"a whole shared library"})) << size;
    }
    std::string other_machine = whole;
    other_machine[18] = 0x14;  // EM_PPC
    EXPECT_TRUE(holds(with(other_machine), {"for this machine's processor"}));
}

TEST(FlashInferModule, OneOfAnotherNameLacksTheFunction) {
    const ScratchFolder scratch;
    fs::copy_file(doubles / "gemm_sm100.so", scratch.path() / "gemm_sm90.so");
    EXPECT_TRUE(holds(reason_of(scratch.path()),
                      {"a module that exports cutlass_segment_gemm_sm90", "__tvm_ffi_cutlass_segment_gemm_sm90"}));
}

TEST(FlashInferModule, AnUndefinedSymbolIsFoundWhenItIsLoaded) {
    EXPECT_TRUE(holds(reason_of(faulty / "undefined_symbol"), {"a_function_that_no_library_offers"}));
}

TEST(FlashInferModule, CodeForAnotherArchitectureIsRefused) {
    EXPECT_EQ(read_module_file(faulty / "sm100/gemm_sm90.so"), (std::vector<DeviceCode>{{100, false}}));
    EXPECT_TRUE(holds(reason_of(faulty / "sm100"), {"a module with code for compute capability 9.0: it has sm_100"}));
    EXPECT_TRUE(holds(reason_of(doubles, false), {"a module with code for compute capability 9.0: it has none"}));
    EXPECT_NE(ModuleLibrary({faulty / "sm90"}, false).find("gemm_sm90", 90).module, nullptr);
}

TEST(FlashInferModule, KnowsWhichCodeAGpuRuns) {
    using flashinfer::runs_on;
    EXPECT_TRUE(runs_on({{90, false}}, 90));
    EXPECT_FALSE(runs_on({{90, false}}, 100));
    EXPECT_FALSE(runs_on({{103, false}}, 100));
    EXPECT_TRUE(runs_on({{100, false}}, 103));
    EXPECT_TRUE(runs_on({{75, false}, {80, true}}, 90));
    EXPECT_FALSE(runs_on({{100, true}}, 90));
    EXPECT_FALSE(runs_on({}, 90));
    EXPECT_EQ(flashinfer::text_of({{90, false}, {100, true}}), "sm_90 compute_100");
}

/// A call of the segment GEMM through a module of the folder.
void call_through(const fs::path& folder) {
    std::mt19937_64 random(3);
    GemmSpec spec;
    spec.experts = 2;
    spec.n = 16;
    spec.k = 32;
    const Call call(Problem::from(spec, {0, 3, 5}), random);
    const auto provider = make_flashinfer_provider(std::make_shared<HostMachine>(90),
                                                   std::make_shared<ModuleLibrary>(std::vector{folder}, true), nullptr);
    const auto plan = provider->plan(call.spec(), {});
    const ExactBuffer workspace(plan->workspace_bytes() + 256, 0);
    Operands operands = call.operands();
    operands.workspace = Tensor(workspace.data(), DType::u8, {static_cast<std::int64_t>(plan->workspace_bytes())});
    plan->run(operands);
}

TEST(FlashInferModule, WhatItRefusesIsAnErrorOfOurs) {
    EXPECT_TRUE(throws_error(ErrorCode::plugin, "gemm_sm90.cutlass_segment_gemm_sm90", "Mismatched number of arguments",
                             "a call that FlashInfer accepts", [] { call_through(faulty / "other_arguments"); }));
}

TEST(FlashInferModule, LaunchesThatFailedAreErrors) {
    EXPECT_TRUE(throws_error(ErrorCode::internal, "gemm_sm90", "invalid configuration argument", "after the call",
                             [] { call_through(faulty / "failed_launch"); }));
    EXPECT_TRUE(throws_error(ErrorCode::internal, "gemm_sm90", "an illegal memory access", "before the call",
                             [] { call_through(faulty / "broken_context"); }));
}

/// What a function takes: tensors, numbers, texts and booleans by the first letters of their types.
std::string_view argument_types(flashinfer::Signature signature) {
    using flashinfer::Signature;
    switch (signature) {
        case Signature::segment_sm80:
            return "TTTTTTTTTB";
        case Signature::segment_sm90:
            return "TTTTTTTTTTTB";
        case Signature::block_sm100:
            return "TTTTTTTTNNNNNXN";
        case Signature::block_sm120:
            return "TTTTTTTTNNNNNX";
        case Signature::mx_sm100:
            return "TTTTTTTTNNNNNNB";
        case Signature::mx_sm120:
            return "TTTTTTTTNNNNNB";
        case Signature::nv_sm120:
            return "TTTTTTTTTNNNNNB";
    }
    return {};
}

/// Arguments of the right types, and tensors of an element type that no function takes.
std::vector<flashinfer::Argument> arguments_of(flashinfer::Signature signature, const DLTensor& tensor) {
    std::vector<flashinfer::Argument> arguments;
    for (const char type : argument_types(signature)) {
        switch (type) {
            case 'T':
                arguments.emplace_back(&tensor);
                break;
            case 'N':
                arguments.emplace_back(std::int64_t{128});
                break;
            case 'X':
                arguments.emplace_back("K");
                break;
            default:
                arguments.emplace_back(true);
        }
    }
    return arguments;
}

/// A module of any architecture: none of these calls comes as far as a kernel.
class FlashInferArguments : public testing::TestWithParam<flashinfer::ModuleInfo> {
protected:
    static void expect_refused_by(const ModuleLibrary& library) {
        for (const flashinfer::Entry& entry : flashinfer::entries) {
            if (entry.module != GetParam().name) {
                continue;
            }
            const ModuleLibrary::Found found = library.find(entry.module, entry.capabilities.front());
            if (found.module == nullptr) {
                GTEST_SKIP() << found.reason;
            }
            const std::string where = fmt::format("{}.{}", entry.module, entry.function);
            std::vector<flashinfer::Argument> arguments;
            const auto refused = [&](const char* why) {
                return throws_error(ErrorCode::plugin, where, why, "a call that FlashInfer accepts", [&] {
                    found.module->call(entry.function, arguments, {kDLCUDA, 0}, nullptr);
                });
            };
            EXPECT_TRUE(refused("Mismatched number of arguments"));
            arguments.assign(argument_types(entry.signature).size(), "no tensor");
            EXPECT_TRUE(refused("Mismatched type on argument"));
            double number = 0;
            std::array<std::int64_t, 2> shape{1, 1};
            const DLTensor tensor{&number, {kDLCUDA, 0}, 2, {kDLFloat, 64, 1}, shape.data(), nullptr, 0};
            arguments = arguments_of(entry.signature, tensor);
            EXPECT_TRUE(refused("Error: "));
            EXPECT_FALSE(refused("Mismatched type on argument"))
                << where << " has to get these arguments and refuse them itself";
        }
    }
};

TEST_P(FlashInferArguments, OfOtherNumbersOrTypesAreErrorsOfOurs) {
    ASSERT_NE(ModuleLibrary({doubles}, true).find(GetParam().name, 0).module, nullptr);
    expect_refused_by(ModuleLibrary({doubles}, true));
}

/// Where this machine has them.
TEST_P(FlashInferArguments, OfOtherNumbersOrTypesAreErrorsOfOursInFlashInfersOwnModules) {
    expect_refused_by(ModuleLibrary(flashinfer::module_folders(), false));
}

TEST_P(FlashInferArguments, FlashInfersOwnModulesAreRefusedOnAGpuWithoutCodeForIt) {
    const ModuleLibrary library(flashinfer::module_folders(), false);
    const auto entry = std::ranges::find(flashinfer::entries, GetParam().name,
                                         [](const flashinfer::Entry& one) { return one.module; });
    if (const auto found = library.find(entry->module, entry->capabilities.front()); found.module == nullptr) {
        GTEST_SKIP() << found.reason;
    }
    const ModuleLibrary::Found found = library.find(entry->module, 75);
    EXPECT_EQ(found.module, nullptr);
    EXPECT_TRUE(holds(found.reason, {"a module with code for compute capability 7.5: it has sm_", "_ARCH_LIST="}));
}

INSTANTIATE_TEST_SUITE_P(Modules, FlashInferArguments, testing::ValuesIn(flashinfer::modules),
                         [](const auto& test) { return std::string(test.param.name); });

/// Variables of the environment for one test.
class Environment {
public:
    Environment(const char* name, const std::string& value) : name_(name) {
        if (const char* before = std::getenv(name)) {
            before_ = before;
            had_ = true;
        }
        setenv(name, value.c_str(), 1);
    }
    ~Environment() {
        if (had_) {
            setenv(name_, before_.c_str(), 1);
        } else {
            unsetenv(name_);
        }
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

private:
    const char* name_;
    std::string before_;
    bool had_ = false;
};

TEST(FlashInferModule, FoldersAreThoseThatFlashInferUses) {
    const ScratchFolder scratch;
    const fs::path home = scratch.path();
    const fs::path site = home / ".local/lib/python3.12/site-packages";
    const fs::path aot = site / "flashinfer_jit_cache/jit_cache";
    const fs::path old = home / ".cache/flashinfer/0.6.18/90a/cached_ops";
    const fs::path newer = home / ".cache/flashinfer/0.7.2.post1/90a_100a/cached_ops";
    for (const fs::path& folder : {aot, old, newer, site / "flashinfer_jit_cache-0.7.1+cu130.dist-info"}) {
        fs::create_directories(folder);
    }
    const Environment set_home("HOME", home.string());
    const Environment no_base("FLASHINFER_WORKSPACE_BASE", "");
    const Environment no_environment("VIRTUAL_ENV", "");
    const Environment no_path("PYTHONPATH", "");
    const Environment none_named(flashinfer::path_variable, "");
    const std::vector<fs::path> folders = flashinfer::module_folders();
    const auto place = [&](const fs::path& folder) { return std::find(folders.begin(), folders.end(), folder); };
    EXPECT_NE(place(aot), folders.end());
    EXPECT_LT(place(aot), place(newer));
    EXPECT_LT(place(newer), place(old));
    EXPECT_NE(place(old), folders.end());
    EXPECT_EQ(flashinfer::version_at(newer / "gemm_sm90/gemm_sm90.so"), "0.7.2.post1");
    EXPECT_EQ(flashinfer::version_at(aot / "gemm_sm90/gemm_sm90.so"), "0.7.1+cu130");
    EXPECT_EQ(flashinfer::version_at("/somewhere/gemm_sm90.so"), "");

    const Environment base("FLASHINFER_WORKSPACE_BASE", "/nowhere");
    EXPECT_EQ(std::count(folders.begin(), folders.end(), newer), 1);
    const std::vector<fs::path> elsewhere = flashinfer::module_folders();
    EXPECT_EQ(std::count(elsewhere.begin(), elsewhere.end(), newer), 0);
    const Environment named(flashinfer::path_variable, "/one::/two");
    EXPECT_EQ(flashinfer::module_folders(), (std::vector<fs::path>{"/one", "/two"}));
}

}  // namespace
}  // namespace moegemm::test
