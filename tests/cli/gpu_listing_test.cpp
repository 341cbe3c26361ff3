// What providers and doctor say of the GPU providers: not built, not there, refused, without a GPU. And of nvcc.
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/child.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const std::string cuda_module = MOEGEMM_CUDA_MODULE;  // empty where it is not built

/// The program in a folder of its own, where its plug-ins are what a test puts beside it.
class LoneProgram : public testing::Test {
protected:
    LoneProgram() {
        options_.program = folder_ / "bin/moegemm";
        fs::create_directories(options_.program.parent_path());
        fs::copy_file(MOEGEMM_PROGRAM, options_.program);
        options_.prepare = [] {
            unsetenv("MOEGEMM_PLUGIN_PATH");
            unsetenv("CUDACXX");
            setenv("CUDA_VISIBLE_DEVICES", "", 1);  // whatever the machine has: no GPU, or no driver either
        };
    }

    /// What `providers` and `doctor` say of both GPU providers: never available, the same reason in both commands.
    struct Said {
        std::string reason;
        std::string remedy;
        std::string err;
    };
    [[nodiscard]] Said listed() const {
        const ChildResult text = run_moegemm({"providers"}, options_);
        const ChildResult json = run_moegemm({"providers", "--json"}, options_);
        const ChildResult doctor = run_moegemm({"doctor", "--json"}, options_);
        EXPECT_EQ(text.status, 0) << text.err;
        EXPECT_EQ(json.status, 0) << json.err;
        EXPECT_EQ(doctor.status, 0) << doctor.err;
        const Json all = Json::parse(json.out);
        EXPECT_GE(all.size(), 8U);
        Said said{all[2]["reason"], all[2]["remedy"], json.err};
        for (const std::size_t index : {2U, 3U}) {
            const Json& provider = all[index];
            const std::string name = index == 2 ? "cuda" : "hopper";
            EXPECT_EQ(provider["name"], name);
            EXPECT_EQ(provider["available"], false);
            EXPECT_EQ(provider["reason"], said.reason);
            EXPECT_EQ(provider["remedy"], said.remedy);
            EXPECT_EQ(Json::parse(doctor.out)["providers"][name]["reason"], said.reason);
            const std::string line = name + ": not available: " + said.reason + "; " + said.remedy + "\n";
            EXPECT_NE(text.out.find(line), std::string::npos) << text.out;
        }
        return said;
    }

    /// A script that answers like an nvcc of that release.
    [[nodiscard]] std::string nvcc_of(const std::string& place, const std::string& release) const {
        std::string file =
            folder_.write(place, "#!/bin/sh\necho 'Cuda compilation tools, release " + release + ", V'\n");
        fs::permissions(file, fs::perms::owner_all);
        return file;
    }

    [[nodiscard]] Json doctor(const std::string& variable, const std::string& value) const {
        ChildOptions options = options_;
        options.prepare = [&] {
            options_.prepare();
            setenv(variable.c_str(), value.c_str(), 1);
        };
        return Json::parse(run_moegemm({"doctor", "--json"}, options).out);
    }

    ScratchFolder folder_;
    ChildOptions options_;
};

TEST_F(LoneProgram, GpuProvidersWithoutTheirLibraryAreListedWithTheReason) {
    const Said said = listed();
    EXPECT_EQ(said.err, "");
    EXPECT_EQ(said.remedy, "./dev cuda");
    const std::string expected =
        cuda_module.empty() ? "not built: " : "moegemm_cuda.so, which this build makes, is not here";
    EXPECT_NE(said.reason.find(expected), std::string::npos) << said.reason;
    EXPECT_GT(said.reason.size(), std::string("not built: ").size());
    const ChildResult bench = run_moegemm({"bench", "--provider", "hopper"}, options_);
    EXPECT_EQ(bench.status, 2);
    EXPECT_NE(bench.err.find(said.reason), std::string::npos) << bench.err;
}

TEST_F(LoneProgram, GpuProvidersOfABrokenLibraryAreListedWithTheReason) {
    const std::string library = folder_.write("bin/plugins/moegemm_cuda.so", "this is no library\n");
    const Said said = listed();
    EXPECT_EQ(lines_of(said.err).size(), 1U) << said.err;
    EXPECT_NE(said.err.find(library), std::string::npos) << said.err;
    EXPECT_NE(said.reason.find("refused: plugin = " + library), std::string::npos) << said.reason;
    EXPECT_EQ(said.remedy, "./dev cuda");
}

TEST_F(LoneProgram, GpuProvidersWithoutAGpuAreListedWithTheReason) {
    if (cuda_module.empty()) {
        GTEST_SKIP() << "this build has no code for GPUs";
    }
    fs::create_directories(folder_ / "lib/moegemm/plugins");  // as an installation has it
    fs::create_symlink(cuda_module, folder_ / "lib/moegemm/plugins/moegemm_cuda.so");
    const Said said = listed();
    EXPECT_EQ(said.err, "");
    EXPECT_TRUE(said.reason.find("driver") != std::string::npos ||
                said.reason.find("no CUDA-capable") != std::string::npos)
        << said.reason;
    EXPECT_NE(said.remedy.find("moegemm doctor"), std::string::npos) << said.remedy;
}

TEST_F(LoneProgram, DoctorNamesTheNvccThatABuildWouldUse) {
    const std::string on_path = nvcc_of("tools/nvcc", "12.9");
    const std::string tools = fs::path(on_path).parent_path().string();
    EXPECT_EQ(doctor("PATH", tools + ":/usr/bin:/bin")["found"]["nvcc"], on_path + ", release 12.9");
    const std::string named = nvcc_of("named it's/nvcc", "13.1");
    EXPECT_EQ(doctor("CUDACXX", named)["found"]["nvcc"], named + ", release 13.1");
    const std::string old = nvcc_of("first/nvcc", "12.0");
    const std::string both = fs::path(old).parent_path().string() + ":" + tools + ":/usr/bin:/bin";
    EXPECT_EQ(doctor("PATH", both)["found"]["nvcc"], on_path + ", release 12.9");
    const std::string fetched = nvcc_of("cuda-toolkit/bin/nvcc", "13.0");
    EXPECT_EQ(doctor("PATH", both)["found"]["nvcc"], fetched + ", release 13.0");
}

TEST_F(LoneProgram, DoctorSaysWhyAnNvccWillNotDo) {
    const std::string old = nvcc_of("old/nvcc", "12.7");
    Json json = doctor("CUDACXX", old);
    EXPECT_TRUE(json["found"]["nvcc"].is_null());
    EXPECT_EQ(json["remedies"]["nvcc"], old + " is 12.7, and 12.8 is the least: name another by CUDACXX, or unset it");
    json = doctor("CUDACXX", "/nowhere/nvcc");
    EXPECT_EQ(json["remedies"]["nvcc"], "/nowhere/nvcc is no nvcc that runs: name another by CUDACXX, or unset it");
    if (!fs::exists("/usr/local/cuda/bin/nvcc")) {
        json = doctor("PATH", "/nowhere");
        EXPECT_EQ(json["remedies"]["nvcc"], "no nvcc was found: ./dev cuda fetches one");
        json = doctor("PATH", fs::path(old).parent_path().string() + ":/usr/bin:/bin");
        EXPECT_EQ(json["remedies"]["nvcc"], old + " is 12.7, and 12.8 is the least: ./dev cuda fetches one");
    }
}

}  // namespace
}  // namespace moegemm::test
