#include <moegemm/routing.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "op/expect_error.hpp"
#include "scratch_folder.hpp"

namespace moegemm {
namespace {

using nlohmann::json;
using test::throws_error;
using Counts = std::vector<std::int64_t>;

constexpr ErrorCode invalid = ErrorCode::invalid_argument;

json read_data(const std::string& name) {
    std::ifstream file(std::string(MOEGEMM_TEST_DATA "/") + name);
    return json::parse(file);
}

RoutingArguments arguments_of(const json& args) {
    return {args.at("num_tokens").get<std::int64_t>(), args.at("num_experts").get<std::int64_t>(),
            args.at("topk").get<std::int64_t>(), args.value("ep_size", std::int64_t{1}),
            args.value("ep_rank", std::int64_t{0})};
}

std::int64_t sum(const Counts& counts) { return std::accumulate(counts.begin(), counts.end(), std::int64_t{0}); }

/// A file of its own for the test, gone with the object.
class CountsFile {
public:
    explicit CountsFile(const std::string& content) : path_(scratch_.write("counts.json", content)) {}

    [[nodiscard]] std::string text() const { return "counts:" + path_; }
    [[nodiscard]] Routing parse() const { return Routing::parse(text(), 0); }

private:
    test::ScratchFolder scratch_;
    std::string path_;
};

TEST(Routing, BalancedGivesUpstreamsResultsInFull) {
    const json data = read_data("moe_tokens_info.json");
    ASSERT_FALSE(data.at("full").empty());
    for (const json& entry : data.at("full")) {
        SCOPED_TRACE(entry.at("args").dump());
        const MoeTokensInfo result = moe_tokens_info(arguments_of(entry.at("args")), Routing{});
        const json& expected = entry.at("expected");
        EXPECT_EQ(expected.size(), 15U);
        EXPECT_EQ(json(result.num_scatter_tokens), expected.at("num_scatter_tokens"));
        EXPECT_EQ(json(result.num_scatter_tokens_per_rank), expected.at("num_scatter_tokens_per_rank"));
        EXPECT_EQ(json(result.num_experts_per_rank), expected.at("num_experts_per_rank"));
        EXPECT_EQ(json(result.experts_start_idx), expected.at("experts_start_idx"));
        EXPECT_EQ(json(result.experts_end_idx), expected.at("experts_end_idx"));
        EXPECT_EQ(json(result.all_select_experts), expected.at("all_select_experts"));
        EXPECT_EQ(json(result.all_select_weights), expected.at("all_select_weights"));
        EXPECT_EQ(json(result.dispatch_tokens), expected.at("dispatch_tokens"));
        EXPECT_EQ(json(result.used_src_tokens), expected.at("used_src_tokens"));
        EXPECT_EQ(json(result.expert_dispatch_tokens), expected.at("expert_dispatch_tokens"));
        EXPECT_EQ(json(result.expert_dispatch_weights), expected.at("expert_dispatch_weights"));
        EXPECT_EQ(json(result.scatter_token_id), expected.at("scatter_token_id"));
        EXPECT_EQ(json(result.scatter_token_weight), expected.at("scatter_token_weight"));
        EXPECT_EQ(json(result.expert_dispatch_token_count), expected.at("expert_dispatch_token_count"));
        EXPECT_EQ(json(result.expert_dispatch_token_offset), expected.at("expert_dispatch_token_offset"));
    }
}

TEST(Routing, BalancedGivesUpstreamsCounts) {
    const json data = read_data("moe_tokens_info.json");
    ASSERT_GE(data.at("counts").size(), 100U);
    for (const json& entry : data.at("counts")) {
        SCOPED_TRACE(entry.at("args").dump());
        const RoutingArguments arguments = arguments_of(entry.at("args"));
        const Counts counts = route_counts(arguments, Routing{});
        EXPECT_EQ(json(counts), entry.at("expert_dispatch_token_count"));
        EXPECT_EQ(sum(counts), entry.at("dispatch_tokens").get<std::int64_t>());
        if (arguments.num_tokens <= 4096) {
            const MoeTokensInfo result = moe_tokens_info(arguments, Routing{});
            EXPECT_EQ(result.expert_dispatch_token_count, counts);
            EXPECT_EQ(json(result.expert_dispatch_token_offset), entry.at("expert_dispatch_token_offset"));
            EXPECT_EQ(json(result.used_src_tokens), entry.at("used_src_tokens"));
        }
    }
}

TEST(Routing, SeededOnesChooseWhatTheIndependentImplementationDoes) {
    const json cases = read_data("routing/seeded_counts.json");
    ASSERT_GE(cases.size(), 15U);
    for (const json& entry : cases) {
        SCOPED_TRACE(entry.at("routing").dump() + " " + entry.at("seed").dump());
        const Routing routing =
            Routing::parse(entry.at("routing").get<std::string>(), entry.at("seed").get<std::uint64_t>());
        const RoutingArguments arguments = arguments_of(entry);
        EXPECT_EQ(json(route_counts(arguments, routing)), entry.at("counts"));
        const MoeTokensInfo result = moe_tokens_info(arguments, routing);
        const json& first = entry.at("first_tokens");
        ASSERT_EQ(first.size(), std::min<std::size_t>(20, result.all_select_experts.size()));
        for (std::size_t token = 0; token < first.size(); ++token) {
            EXPECT_EQ(json(result.all_select_experts[token]), first[token]) << token;
        }
    }
}

TEST(Routing, RanksShareOutTheGlobalCounts) {
    for (const char* text : {"balanced", "uniform", "zipf:1"}) {
        const Routing routing = Routing::parse(text, 11);
        const Counts global = route_counts({300, 24, 5, 1, 0}, routing);
        EXPECT_EQ(sum(global), 300 * 5);
        if (routing.kind == RoutingKind::balanced) {
            continue;  // its order of experts depends on ep_size
        }
        Counts joined;
        for (std::int64_t rank = 0; rank < 4; ++rank) {
            const Counts part = route_counts({300, 24, 5, 4, rank}, routing);
            EXPECT_EQ(part.size(), 6U);
            joined.insert(joined.end(), part.begin(), part.end());
        }
        EXPECT_EQ(joined, global) << text;
    }
}

TEST(Routing, TokensInfoAgreesWithCountsAndWithItself) {
    for (const char* text : {"balanced", "uniform", "zipf:1.5"}) {
        for (std::int64_t rank = 0; rank < 3; ++rank) {
            const RoutingArguments arguments{101, 12, 5, 3, rank};
            const Routing routing = Routing::parse(text, 77);
            const MoeTokensInfo result = moe_tokens_info(arguments, routing);
            EXPECT_EQ(result.expert_dispatch_token_count, route_counts(arguments, routing)) << text;
            EXPECT_EQ(result.dispatch_tokens, sum(result.expert_dispatch_token_count));
            EXPECT_EQ(result.num_scatter_tokens_per_rank, 101 * 5 / 3);
            std::set<std::int64_t> used;
            Counts joined;
            for (std::size_t local = 0; local < 4; ++local) {
                const Counts& tokens = result.expert_dispatch_tokens[local];
                EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
                EXPECT_EQ(result.expert_dispatch_token_offset[local], static_cast<std::int64_t>(joined.size()));
                joined.insert(joined.end(), tokens.begin(), tokens.end());
                for (const std::int64_t token : tokens) {
                    used.insert(token);
                    const Counts& experts = result.all_select_experts[static_cast<std::size_t>(token)];
                    const std::int64_t expert = rank * 4 + static_cast<std::int64_t>(local);
                    EXPECT_EQ(std::count(experts.begin(), experts.end(), expert), 1);
                }
            }
            EXPECT_EQ(result.scatter_token_id, joined);
            EXPECT_EQ(result.used_src_tokens, static_cast<std::int64_t>(used.size()));
            EXPECT_EQ(result.scatter_token_weight, std::vector<double>(joined.size(), 0.2));
        }
    }
}

TEST(Routing, EveryTokenGetsDistinctExperts) {
    for (const char* text : {"balanced", "uniform", "zipf:0.5", "zipf:4", "zipf:1e300"}) {
        for (const std::int64_t topk : {1, 3, 9, 10}) {
            const MoeTokensInfo result = moe_tokens_info({64, 10, topk, 1, 0}, Routing::parse(text, 3));
            for (const Counts& experts : result.all_select_experts) {
                const std::set<std::int64_t> distinct(experts.begin(), experts.end());
                EXPECT_EQ(static_cast<std::int64_t>(distinct.size()), topk) << text;
                EXPECT_GE(*distinct.begin(), 0);
                EXPECT_LT(*distinct.rbegin(), 10);
            }
        }
    }
}

TEST(Routing, UniformIsUniform) {
    constexpr std::int64_t tokens = 40000;
    const Counts counts = route_counts({tokens, 32, 4, 1, 0}, Routing::parse("uniform", 2024));
    // A count is binomial with p = 1/8; chi-squared over 31 degrees of freedom, less for drawing without replacement.
    const double expected = tokens * 4 / 32.0;
    double chi_squared = 0.0;
    for (const std::int64_t count : counts) {
        chi_squared += std::pow(static_cast<double>(count) - expected, 2) / expected;
    }
    EXPECT_LT(chi_squared, 60.0);
    EXPECT_GT(chi_squared, 8.0);
}

TEST(Routing, ZipfFollowsItsLaw) {
    constexpr std::int64_t tokens = 100000;
    Counts counts = route_counts({tokens, 16, 1, 1, 0}, Routing::parse("zipf:1", 5));
    EXPECT_FALSE(std::is_sorted(counts.rbegin(), counts.rend())) << "ranks are dealt by a permutation";
    std::sort(counts.begin(), counts.end(), std::greater<>());
    double harmonic = 0.0;
    for (int rank = 1; rank <= 16; ++rank) {
        harmonic += 1.0 / rank;
    }
    for (int rank = 1; rank <= 16; ++rank) {
        const double expected = tokens / harmonic / rank;
        EXPECT_NEAR(static_cast<double>(counts[static_cast<std::size_t>(rank - 1)]), expected,
                    5.0 * std::sqrt(expected))
            << rank;
    }
}

TEST(Routing, SeedsDealPopularityToDifferentExperts) {
    std::set<std::ptrdiff_t> most_popular;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const Counts counts = route_counts({100, 8, 1, 1, 0}, Routing::parse("zipf:3", seed));
        most_popular.insert(std::max_element(counts.begin(), counts.end()) - counts.begin());
    }
    EXPECT_EQ(most_popular.size(), 8U);
}

TEST(Routing, ZeroTokensGiveNoRows) {
    for (const char* text : {"balanced", "uniform", "zipf:1"}) {
        EXPECT_EQ(route_counts({0, 8, 2, 2, 1}, Routing::parse(text, 0)), Counts(4, 0)) << text;
        EXPECT_EQ(moe_tokens_info({0, 8, 2, 2, 1}, Routing::parse(text, 0)).dispatch_tokens, 0) << text;
    }
}

TEST(Routing, BalancedCountsNeedNoWalkOverTokens) {
    const std::int64_t tokens = std::int64_t{1} << 59;
    EXPECT_EQ(route_counts({tokens, 16, 8, 4, 2}, Routing{}), Counts(4, tokens / 2));
}

TEST(Routing, CountsComeFromTheFile) {
    const CountsFile file(" [3, 0,\n 5, 4 ] ");
    const Routing routing = file.parse();
    EXPECT_EQ(routing.kind, RoutingKind::counts);
    EXPECT_EQ(routing.text, file.text());
    EXPECT_EQ(route_counts({6, 4, 2, 1, 0}, routing), (Counts{3, 0, 5, 4}));
    EXPECT_EQ(route_counts({6, 4, 2, 2, 1}, routing), (Counts{5, 4}));
}

TEST(Routing, TextIsRead) {
    EXPECT_EQ(Routing::parse("balanced", 9).kind, RoutingKind::balanced);
    EXPECT_EQ(Routing::parse("uniform", 9).seed, 9U);
    const Routing zipf = Routing::parse("zipf:1.25", 9);
    EXPECT_EQ(zipf.kind, RoutingKind::zipf);
    EXPECT_EQ(zipf.exponent, 1.25);
    EXPECT_EQ(zipf.text, "zipf:1.25");
}

// ---- bad input ----

void expect_bad(const RoutingArguments& arguments, const char* name, const char* value, const char* allowed) {
    EXPECT_TRUE(throws_error(invalid, name, value, allowed, [&] { arguments.check(); }));
    EXPECT_TRUE(throws_error(invalid, name, value, allowed, [&] { (void)route_counts(arguments, Routing{}); }));
    EXPECT_TRUE(throws_error(invalid, name, value, allowed, [&] { (void)moe_tokens_info(arguments, Routing{}); }));
}

TEST(RoutingBadInput, NegativeTokens) { expect_bad({-1, 8, 2, 1, 0}, "num_tokens", "-1", "0 or more"); }
TEST(RoutingBadInput, NoExperts) { expect_bad({1, 0, 1, 1, 0}, "num_experts", "0", "1"); }
TEST(RoutingBadInput, TooManyExperts) { expect_bad({1, 1 << 21, 1, 1, 0}, "num_experts", "2097152", "1048576"); }
TEST(RoutingBadInput, ZeroTopk) { expect_bad({1, 8, 0, 1, 0}, "topk", "0", "num_experts (8)"); }
TEST(RoutingBadInput, TopkAboveExperts) { expect_bad({1, 8, 9, 1, 0}, "topk", "9", "num_experts (8)"); }
TEST(RoutingBadInput, ZeroRanks) { expect_bad({1, 8, 2, 0, 0}, "ep_size", "0", "1 or more"); }
TEST(RoutingBadInput, RanksThatDoNotDivideExperts) { expect_bad({1, 8, 2, 3, 0}, "ep_size", "3", "num_experts (8)"); }
TEST(RoutingBadInput, NegativeRank) { expect_bad({1, 8, 2, 2, -1}, "ep_rank", "-1", "0"); }
TEST(RoutingBadInput, RankBeyondTheLast) { expect_bad({1, 8, 2, 2, 2}, "ep_rank", "2", "(1)"); }

TEST(RoutingBadInput, RowsBeyond63Bits) {
    const RoutingArguments arguments{std::int64_t{1} << 62, 8, 2, 1, 0};
    EXPECT_TRUE(
        throws_error(ErrorCode::overflow, "num_tokens", "4611686018427387904", "2^63", [&] { arguments.check(); }));
}

TEST(RoutingBadInput, MoreTokensThanCanBeDrawn) {
    const RoutingArguments arguments{std::int64_t{1} << 31, 8, 1, 1, 0};
    EXPECT_TRUE(throws_error(invalid, "num_tokens", "2147483648", "2147483647",
                             [&] { (void)route_counts(arguments, Routing::parse("uniform", 0)); }));
    EXPECT_TRUE(throws_error(invalid, "num_tokens", "2147483648", "2147483647",
                             [&] { (void)moe_tokens_info(arguments, Routing{}); }));
}

TEST(RoutingBadInput, UnknownText) {
    for (const char* text : {"", "Balanced", "balanced ", "zipf", "counts", "random"}) {
        EXPECT_TRUE(throws_error(invalid, "routing", text, "zipf:<s>", [&] { (void)Routing::parse(text, 0); }));
    }
}

TEST(RoutingBadInput, ZipfExponent) {
    for (const char* text :
         {"zipf:", "zipf:x", "zipf:1x", "zipf:-1", "zipf:nan", "zipf:inf", "zipf:1e999", "zipf: 1"}) {
        EXPECT_TRUE(throws_error(invalid, "routing", text, "finite", [&] { (void)Routing::parse(text, 0); }));
    }
    Routing routing = Routing::parse("zipf:1", 0);
    routing.exponent = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(throws_error(invalid, "routing", "nan", "finite", [&] {
        (void)route_counts({1, 8, 2, 1, 0}, routing);
    }));
}

TEST(RoutingBadInput, MissingCountsFile) {
    EXPECT_TRUE(throws_error(ErrorCode::io, "routing", "no/such/file.json", "JSON array",
                             [] { (void)Routing::parse("counts:no/such/file.json", 0); }));
}

TEST(RoutingBadInput, CountsFileIsAFolder) {
    EXPECT_TRUE(
        throws_error(ErrorCode::io, "routing", "counts:/", "JSON array", [] { (void)Routing::parse("counts:/", 0); }));
}

void expect_unreadable(const std::string& content, const char* fault) {
    const CountsFile file(content);
    EXPECT_TRUE(throws_error(ErrorCode::parse, "routing", fault, "JSON array", [&] { (void)file.parse(); }))
        << content.substr(0, 60);
}

TEST(RoutingBadInput, EmptyCountsFile) { expect_unreadable("", "unexpected end of input"); }
TEST(RoutingBadInput, TruncatedCounts) { expect_unreadable("[1, 2", "unexpected end of input"); }
TEST(RoutingBadInput, CountsAreAnObject) { expect_unreadable("{\"counts\": [1]}", "no array"); }
TEST(RoutingBadInput, CountsAreANumber) { expect_unreadable("12", "no array"); }
TEST(RoutingBadInput, NegativeCountInAFile) { expect_unreadable("[4, -3]", "[1] = -3"); }
TEST(RoutingBadInput, FractionalCount) { expect_unreadable("[4, 1.5]", "[1] = 1.5"); }
TEST(RoutingBadInput, CountBeyond63Bits) { expect_unreadable("[9223372036854775808]", "[0] = 9223372036854775808"); }
TEST(RoutingBadInput, CountBeyond64Bits) { expect_unreadable("[1, 1e30]", "[1] = 1e+30"); }
TEST(RoutingBadInput, CountIsAText) { expect_unreadable("[\"4\"]", "[0] = \"4\""); }
TEST(RoutingBadInput, CountIsNull) { expect_unreadable("[null]", "[0] = null"); }
TEST(RoutingBadInput, CountIsAnArray) { expect_unreadable("[[1]]", "within the array"); }
TEST(RoutingBadInput, DeeplyNestedCounts) { expect_unreadable(std::string(1 << 20, '['), "within the array"); }
TEST(RoutingBadInput, CountsAreNotUtf8) { expect_unreadable("[\"\xff\xfe\"]", "UTF-8"); }
TEST(RoutingBadInput, HugeCountsFile) {
    expect_unreadable(std::string((std::size_t{16} << 20) + 1, ' '), "larger than 16777216 bytes");
}

TEST(RoutingBadInput, CountsOfAnotherNumberOfExperts) {
    const CountsFile file("[1, 2, 3]");
    EXPECT_TRUE(throws_error(invalid, "routing", "3 counts", "num_experts (4)", [&] {
        (void)route_counts({3, 4, 2, 1, 0}, file.parse());
    }));
}

TEST(RoutingBadInput, CountsThatDoNotAddUp) {
    const CountsFile file("[1, 2, 3, 1]");
    EXPECT_TRUE(throws_error(invalid, "routing", "the sum is 7", "num_tokens * topk (8)", [&] {
        (void)route_counts({4, 4, 2, 1, 0}, file.parse());
    }));
}

TEST(RoutingBadInput, CountsWhoseSumOverflows) {
    const CountsFile file("[9223372036854775807, 1]");
    EXPECT_TRUE(throws_error(ErrorCode::overflow, "routing", "9223372036854775807 + 1", "2^63", [&] {
        (void)route_counts({1, 2, 1, 1, 0}, file.parse());
    }));
}

TEST(RoutingBadInput, NegativeCountFromTheProgram) {
    Routing routing;
    routing.kind = RoutingKind::counts;
    routing.text = "counts:memory";
    routing.counts = {5, -1};
    EXPECT_TRUE(throws_error(invalid, "routing", "[1] = -1", "from 0", [&] {
        (void)route_counts({4, 2, 1, 1, 0}, routing);
    }));
}

TEST(RoutingBadInput, CountsHaveNoTokens) {
    const CountsFile file("[4, 4]");
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "routing", "counts:", "balanced", [&] {
        (void)moe_tokens_info({4, 2, 2, 1, 0}, file.parse());
    }));
}

}  // namespace
}  // namespace moegemm
