#include <array>
#include <fstream>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <moegemm/tensor.hpp>

#include "op/host_case.hpp"

namespace moegemm {
namespace {

using nlohmann::json;
using test::spec_of;

json read_json(const std::string& path) {
    std::ifstream file(path);
    EXPECT_TRUE(file.good()) << path;
    return json::parse(file);
}

/// (num_tokens, num_experts, topk, ep_size, ep_rank) → M, from upstream's own results.
using Routed = std::map<std::array<std::int64_t, 5>, std::int64_t>;

Routed upstream_rows() {
    Routed rows;
    const json file = read_json(MOEGEMM_TEST_DATA "/moe_tokens_info.json");
    for (const json& entry : file["counts"]) {
        const json& args = entry["args"];
        rows[{args["num_tokens"], args["num_experts"], args["topk"], args["ep_size"], args["ep_rank"]}] =
            entry["dispatch_tokens"];
    }
    return rows;
}

/// M of rank 0 by upstream's rule, one expert at a time: expert e of the rank is number e·ep_size of the cursor's
/// order.
std::int64_t balanced_rows(std::int64_t tokens, std::int64_t experts, std::int64_t topk, std::int64_t ranks) {
    std::int64_t rows = 0;
    for (std::int64_t expert = 0; expert < experts / ranks; ++expert) {
        const std::int64_t position = expert * ranks;
        rows += tokens * topk / experts + (position < tokens * topk % experts ? 1 : 0);
    }
    return rows;
}

TEST(Accounting, Int8CasesOfThePublishedWorkload) {
    const Routed upstream = upstream_rows();
    const json file = read_json(MOEGEMM_WORKLOADS "/xpu_perf/moe_quant_group_gemm.json");
    int cases = 0;
    int with_upstream_rows = 0;
    for (const json& entry : file["moe_quant_group_gemm"]) {
        for (const json& sizes : entry["num_experts.topk.hidden_size.new_hidden_size"]) {
            for (const std::int64_t ranks : entry["ep_size"]) {
                for (const std::int64_t tokens : entry["num_tokens"]) {
                    Arguments arguments;
                    arguments.routing = {tokens, sizes[0], sizes[1], ranks, 0};
                    arguments.hidden_size = sizes[2];
                    arguments.new_hidden_size = sizes[3];
                    const Problem problem = Problem::from(arguments, Routing{});
                    const std::int64_t experts = arguments.routing.num_experts / ranks;
                    const std::int64_t k = sizes[2];
                    const std::int64_t n = sizes[3];
                    const std::int64_t m = balanced_rows(tokens, sizes[0], sizes[1], ranks);
                    const auto found = upstream.find({tokens, sizes[0], sizes[1], ranks, 0});
                    if (found != upstream.end()) {
                        ++with_upstream_rows;
                        ASSERT_EQ(found->second, m);
                    }
                    const Accounting accounting = account(problem);
                    EXPECT_EQ(accounting.read_bytes, m * k + 4 * m + experts * n * k + 4 * experts * n + 8 * experts);
                    EXPECT_EQ(accounting.write_bytes, 2 * m * n);
                    EXPECT_EQ(accounting.io_bytes, accounting.read_bytes + accounting.write_bytes);
                    EXPECT_EQ(accounting.flops, 2 * m * k * n);
                    ++cases;
                }
            }
        }
    }
    EXPECT_EQ(cases, 276);
    EXPECT_EQ(with_upstream_rows, 36);  // both sizes, three numbers of ranks, six of the numbers of tokens
}

TEST(Accounting, PaddedScalesCountAsStoredAndAlphaWhereGiven) {
    // E 3, N 130, K 80: 5 scales a row, stored as 8; M 10.
    GemmSpec spec = spec_of(Variant::nvfp4, 3, 130, 80);
    const std::vector<std::int32_t> m_indptr{0, 10, 10, 10};
    const std::int64_t tokens = 10 * 40;
    const std::int64_t weights = 3 * 130 * 40;
    const Accounting swizzled = account(Problem::from(spec, m_indptr));
    EXPECT_EQ(swizzled.read_bytes, tokens + weights + 384 * 8 + 3 * 256 * 8 + 3 * 4 + 3 * 8);
    EXPECT_EQ(swizzled.write_bytes, 10 * 130 * 4);
    EXPECT_EQ(swizzled.flops, 2 * 10 * 80 * 130);
    spec.has_alpha = false;
    EXPECT_EQ(account(Problem::from(spec, m_indptr)).read_bytes, swizzled.read_bytes - 12);
    spec.scale_layout = ScaleLayout::linear;
    EXPECT_EQ(account(Problem::from(spec, m_indptr)).read_bytes, tokens + weights + 10 * 5 + 3 * 130 * 5 + 3 * 8);
    spec.scale_layout = ScaleLayout::swizzled_128x4_whole;
    EXPECT_EQ(account(Problem::from(spec, m_indptr)).read_bytes, tokens + weights + 128 * 8 + 3 * 256 * 8 + 3 * 8);
}

TEST(Accounting, BlockScales) {
    const Accounting accounting = account(Problem::from(spec_of(Variant::fp8_block, 2, 200, 300), {0, 4, 9}));
    EXPECT_EQ(accounting.read_bytes, 9 * 300 + 2 * 200 * 300 + 4 * (3 * 9) + 4 * (2 * 3 * 2) + 8 * 2);
}

TEST(Accounting, TheFloorReadsOnlyExpertsWithRows) {
    const Accounting some = account(Problem::from(spec_of(Variant::mxfp4, 4, 72, 96), {0, 3, 3, 3, 5}));
    // 3 scales a row, stored as 4, in 128 rows an expert; A's in 128·⌊(5 + 4·127)/128⌋ rows.
    EXPECT_EQ(some.floor_read_bytes, 5 * 96 + 512 * 4 + 2 * (72 * 48 + 128 * 4));
    const Accounting all = account(Problem::from(spec_of(Variant::mxfp4, 4, 72, 96), {0, 3, 4, 5, 6}));
    EXPECT_EQ(all.floor_read_bytes, all.read_bytes - 8 * 4);
    const Accounting alpha = account(Problem::from(spec_of(Variant::nvfp4, 2, 72, 96), {0, 3, 4}));
    EXPECT_EQ(alpha.floor_read_bytes, alpha.read_bytes - 8 * 2 - 4 * 2);
}

TEST(Accounting, NoRows) {
    const Accounting accounting = account(Problem::from(spec_of(Variant::int8, 2, 72, 96), {0, 0, 0}));
    EXPECT_EQ(accounting.read_bytes, 2 * 72 * 96 + 4 * 2 * 72 + 8 * 2);
    EXPECT_EQ(accounting.write_bytes, 0);
    EXPECT_EQ(accounting.flops, 0);
    EXPECT_EQ(accounting.floor_read_bytes, 0);
}

}  // namespace
}  // namespace moegemm
