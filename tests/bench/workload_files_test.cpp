// The workload files of this repository: every case is a problem, and what they promise is in them.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/tensor.hpp>

#include "bench/workload.hpp"

namespace moegemm::bench {
namespace {

const std::filesystem::path workloads = MOEGEMM_WORKLOADS;

Problem problem_of(const Case& item) {
    std::vector<std::string> unknown;
    const Routing routing = routing_of(item, Routing{});
    Problem problem = Problem::from(Arguments::from(item.arguments, &unknown), routing);
    EXPECT_TRUE(unknown.empty()) << item.source << ": " << unknown.front();
    return problem;
}

std::map<Variant, int> variants_in(const std::vector<Case>& cases) {
    std::map<Variant, int> counts;
    for (const Case& item : cases) {
        ++counts[problem_of(item).spec().variant];
    }
    return counts;
}

TEST(WorkloadFiles, RooflineHoldsItsPoints) {
    const Workload workload = read_workload(workloads / "roofline.json");
    EXPECT_TRUE(workload.skipped.empty());
    using Point = std::tuple<Variant, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
    std::set<Point> expected;
    for (const VariantInfo& row : variants) {
        for (const auto& [e, n, k] : {std::tuple(16, 2048, 4096), std::tuple(16, 4096, 2048),
                                      std::tuple(32, 4096, 7168), std::tuple(32, 7168, 2048)}) {
            for (const int rows : {1, 8, 32, 128, 512, 4096}) {
                expected.insert({row.id, e, n, k, rows});
            }
        }
    }
    std::set<Point> points;
    for (const Case& item : workload.cases) {
        const Problem problem = problem_of(item);
        const GemmSpec& spec = problem.spec();
        EXPECT_EQ(problem.rows_min(), problem.rows_max());
        EXPECT_EQ(spec.dst, DType::bf16);
        points.insert({spec.variant, spec.experts, spec.n, spec.k, problem.rows_max()});
    }
    EXPECT_EQ(workload.cases.size(), 11U * 4U * 6U);
    EXPECT_EQ(points, expected);
}

TEST(WorkloadFiles, Fp8WithoutAlphaHoldsThoseOfTheRooflinePoints) {
    const auto points_of = [](const char* file, bool alpha) {
        std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>> points;
        for (const Case& item : read_workload(workloads / file).cases) {
            const GemmSpec spec = problem_of(item).spec();
            if (spec.variant == Variant::fp8) {
                EXPECT_EQ(spec.has_alpha, alpha);
                points.insert({spec.experts, spec.n, spec.k, spec.max_rows});
            }
        }
        return points;
    };
    EXPECT_EQ(points_of("fp8_without_alpha.json", false), points_of("roofline.json", true));
}

TEST(WorkloadFiles, OneExpertHoldsEveryRowOfTheRooflinePoints) {
    std::vector<std::vector<ArgumentPair>> points;
    for (const Case& item : read_workload(workloads / "roofline.json").cases) {
        points.push_back(item.arguments);
    }
    std::vector<std::vector<ArgumentPair>> skewed;
    for (const Case& item : read_workload(workloads / "one_expert.json").cases) {
        const Problem problem = problem_of(item);
        EXPECT_TRUE(item.routing.starts_with("counts:one_expert/")) << item.routing;
        EXPECT_EQ(routing_of(item, Routing{}).text, item.routing) << "records name no folder of the machine";
        EXPECT_EQ(problem.rows_max(), problem.rows()) << item.routing;
        EXPECT_GT(problem.rows(), 0);
        EXPECT_EQ(problem.m_indptr()[1], 0) << "empty experts come before";
        skewed.push_back(item.arguments);
    }
    const auto sorted = [](std::vector<std::vector<ArgumentPair>> all) {
        for (std::vector<ArgumentPair>& pairs : all) {
            std::sort(pairs.begin(), pairs.end());
        }
        std::sort(all.begin(), all.end());
        return all;
    };
    EXPECT_EQ(sorted(skewed), sorted(points));
}

TEST(WorkloadFiles, QuickStartHoldsEveryVariantAtTwoSizes) {
    const Workload workload = read_workload(workloads / "quick_start.json");
    EXPECT_EQ(workload.cases.size(), 22U);
    for (const auto& [variant, count] : variants_in(workload.cases)) {
        EXPECT_EQ(count, 2) << info(variant).name;
    }
    for (const Case& item : workload.cases) {
        EXPECT_LT(account(problem_of(item)).io_bytes, std::int64_t{1} << 30U);
    }
}

TEST(WorkloadFiles, ModelsHoldBothProjectionsOfEveryVariant) {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(workloads / "models")) {
        if (entry.path().extension() != ".json") {
            continue;
        }
        ++files;
        const Workload workload = read_workload(entry.path());
        EXPECT_TRUE(workload.skipped.empty()) << entry.path();
        EXPECT_EQ(variants_in(workload.cases).size(), variants.size()) << entry.path();
        std::set<std::pair<std::int64_t, std::int64_t>> sizes;
        for (const Case& item : workload.cases) {
            const Problem problem = problem_of(item);
            sizes.insert({problem.spec().k, problem.spec().n});
        }
        ASSERT_EQ(sizes.size(), 2U) << entry.path();
        // Of hidden size h and intermediate size i: (h, 2i) and (i, h).
        const auto [k1, n1] = *sizes.begin();
        const auto [k2, n2] = *sizes.rbegin();
        EXPECT_TRUE((n1 == k2 && n2 == 2 * k1) || (n2 == k1 && n1 == 2 * k2)) << entry.path();
    }
    EXPECT_EQ(files, 8U);
}

}  // namespace
}  // namespace moegemm::bench
