// providers, variants, explain and doctor: what they print, and that their JSON parses.
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <moegemm/variant.hpp>

#include "cli/child.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

using Json = nlohmann::ordered_json;

TEST(Variants, ListsAllEleven) {
    const ChildResult text = run_moegemm({"variants"});
    EXPECT_EQ(text.status, 0);
    const ChildResult result = run_moegemm({"variants", "--json"});
    EXPECT_EQ(result.status, 0);
    const Json all = Json::parse(result.out);
    ASSERT_EQ(all.size(), variants.size());
    for (std::size_t i = 0; i < variants.size(); ++i) {
        EXPECT_EQ(all[i]["name"], variants[i].name);
        EXPECT_NE(text.out.find("\n" + std::string(variants[i].name) + " "), std::string::npos);
    }
}

TEST(Providers, ListsAllThatTheProjectKnows) {
    const ChildResult text = run_moegemm({"providers"});
    EXPECT_EQ(text.status, 0);
    const ChildResult result = run_moegemm({"providers", "--json"});
    EXPECT_EQ(result.status, 0);
    std::vector<std::string> names;
    for (const Json& provider : Json::parse(result.out)) {
        names.push_back(provider["name"]);
        EXPECT_NE(text.out.find("\n" + names.back() + ": "), std::string::npos) << text.out;
        if (!provider["available"]) {
            EXPECT_NE(provider["reason"], "") << provider;
            EXPECT_NE(provider["remedy"], "") << provider;
        }
        if (provider["name"] == "cpu" || provider["name"] == "reference") {
            EXPECT_TRUE(provider["available"]);
            EXPECT_EQ(provider["variants"].size(), variants.size());
            EXPECT_EQ(provider["variants"]["mxfp4"]["accumulation"], "fp32");
            EXPECT_EQ(provider["variants"]["mxfp4"]["scale_range"], "full");
        }
    }
    const std::vector<std::string> known{"reference",  "cpu",   "cuda",   "hopper",
                                         "flashinfer", "cudnn", "cublas", "onednn"};
    EXPECT_TRUE(names.size() >= known.size() && std::equal(known.begin(), known.end(), names.begin()));
}

TEST(Providers, ABadPluginIsALineAndAStatus) {
    const ScratchFolder scratch;
    const std::string plugin = scratch.write("moegemm_text.so", "this is no library\n");
    for (const std::string& path : {plugin, scratch.path().string(), scratch / "missing.so"}) {
        const ChildResult result = run_moegemm({"providers", "--plugin", path});
        EXPECT_EQ(result.status, 1) << path;
        EXPECT_EQ(lines_of(result.err).size(), 1U) << result.err;
        EXPECT_NE(result.err.find(path), std::string::npos) << result.err;
        EXPECT_NE(result.out.find("cpu"), std::string::npos);
    }
}

TEST(Explain, ShowsTensorsBytesAndSupport) {
    const std::vector<std::string> arguments{"num_tokens=64",   "num_experts=16",     "topk=4",     "ep_size=2",
                                             "hidden_size=512", "new_hidden_size=96", "dtype=int8", "w_dtype=int8"};
    std::vector<std::string> words{"explain"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    const ChildResult text = run_moegemm(words);
    EXPECT_EQ(text.status, 0) << text.err;
    EXPECT_NE(text.out.find("scatter_tokens"), std::string::npos) << text.out;
    words.emplace_back("--json");
    const ChildResult result = run_moegemm(words);
    EXPECT_EQ(result.status, 0) << result.err;
    const Json json = Json::parse(result.out);
    const std::int64_t e = 8;
    const std::int64_t m = 128;
    const std::int64_t n = 96;
    const std::int64_t k = 512;
    EXPECT_EQ(json["variant"], "int8");
    EXPECT_EQ(json["shape"]["M"], m);
    EXPECT_EQ(json["calc_flops"], 2 * m * n * k);
    EXPECT_EQ(json["read_bytes"], m * k + 4 * m + e * n * k + 4 * e * n + 8 * e);
    EXPECT_EQ(json["write_bytes"], 2 * m * n);
    EXPECT_TRUE(json["providers"]["cpu"]["supported"]);
    EXPECT_EQ(json["m_indptr"].size(), 9U);
}

TEST(Explain, FaultsNameTheArgument) {
    ChildResult result = run_moegemm({"explain", "num_tokens"});
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.err.find("key=value"), std::string::npos) << result.err;
    result = run_moegemm({"explain", "num_tokens=1", "num_experts=8", "topk=9", "hidden_size=32", "new_hidden_size=32",
                          "dtype=int8", "w_dtype=int8"});
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.err.find("topk"), std::string::npos) << result.err;
    result = run_moegemm({"explain", "num_tokens=1", "num_experts=8", "topk=1", "hidden_size=32", "new_hidden_size=32",
                          "dtype=int8", "w_dtype=int8", "colour=red"});
    EXPECT_EQ(result.status, 0);
    EXPECT_NE(result.err.find("colour"), std::string::npos) << result.err;
}

TEST(Doctor, SaysWhatThisMachineHas) {
    const ChildResult text = run_moegemm({"doctor"});
    EXPECT_EQ(text.status, 0) << text.err;
    const ChildResult result = run_moegemm({"doctor", "--json"});
    EXPECT_EQ(result.status, 0) << result.err;
    const Json json = Json::parse(result.out);
    EXPECT_FALSE(json["machine"].empty());
    EXPECT_TRUE(json["found"].contains("nvcc"));
    EXPECT_TRUE(json["providers"]["cpu"]["available"]);
    EXPECT_FALSE(json["providers"]["cudnn"]["remedy"].get<std::string>().empty());
}

}  // namespace
}  // namespace moegemm::test
