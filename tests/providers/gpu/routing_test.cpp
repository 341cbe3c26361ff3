// One plan, many routings: m_indptr is read on the device, also out of a CUDA graph, and may be nonsense.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "providers/gpu/gpu_call.hpp"

namespace moegemm::test {
namespace {

class GpuRouting : public GpuTest {
protected:
    static constexpr std::int32_t rows = 160;

    /// A problem of 5 experts and 160 rows, or so many as `m_indptr` says, whose scales do not move with the routing.
    [[nodiscard]] static Call make_call(Variant variant, std::int64_t n = 200, std::int64_t k = 320,
                                        const std::vector<std::int32_t>& m_indptr = {0, 1, 17, 17, 150, rows}) {
        std::mt19937_64 random(11 + static_cast<std::uint64_t>(variant));
        GemmSpec spec = random_problem(variant, random, {}).spec();
        spec.scale_layout = spec.row().scaling == Scaling::group ? ScaleLayout::linear : spec.row().layouts[0];
        spec.experts = static_cast<std::int64_t>(m_indptr.size()) - 1;
        spec.n = n;
        spec.k = k;
        return Call(Problem::from(spec, m_indptr), random);
    }

    /// y of `m_indptr`, by the reference of the tests' own making: the same rows under another routing.
    /// \param looseness of a row's largest error: more where K is deep and sums cancel
    void expect_right(const Call& call, const std::vector<std::int32_t>& m_indptr, std::vector<std::uint8_t> y,
                      double looseness = 4) {
        const std::int32_t used = m_indptr.back();
        y.resize(static_cast<std::size_t>(used * call.spec().n * info(call.spec().dst).bytes));
        GemmSpec spec = call.spec();
        const Problem problem = Problem::from(spec, m_indptr);
        // mn_major scales are strided by all rows, which HostOperandRows takes from A's shape.
        const HostOperandRows values(call.spec(), call.operands(), problem.m_indptr());
        expect_conforms(y, spec.dst, spec.n, reference(problem, values), {}, loose(spec, looseness),
                        fmt::format("{}, rows {}", spec.row().name, fmt::join(m_indptr, " ")));
    }

private:
    /// Sums that cancel have no magnitudes to be held against here.
    [[nodiscard]] Tolerance loose(const GemmSpec& spec, double looseness) const {
        const Tolerance allowed = tolerance(spec);
        return {2 * allowed.norm, looseness * allowed.row, 0};
    }
};

const std::vector<std::vector<std::int32_t>> routings{{0, 0, 0, 0, 0, 0},        {0, 0, 160, 160, 160, 160},
                                                      {0, 5, 9, 100, 101, 103},  {0, 0, 0, 0, 0, 1},
                                                      {0, 32, 64, 96, 128, 160}, {0, 127, 128, 129, 130, 131}};

TEST_P(GpuRouting, OnePlanServesAll) {
    for (const Variant variant : variants_offered()) {
        const Call call = make_call(variant);
        const auto made = plan(call.spec());
        GpuCall on_gpu(device(), *made, call.operands());
        for (const std::vector<std::int32_t>& m_indptr : routings) {
            on_gpu.set_m_indptr(m_indptr);
            on_gpu.poison_y();
            on_gpu.run();
            expect_right(call, m_indptr, on_gpu.y(m_indptr.back()));  // rows past the last stay poison
            ASSERT_FALSE(HasFailure());
        }
    }
}

/// K of more stages than any ring in shared memory has: what tools that look for races must see.
TEST_P(GpuRouting, RingsGoRound) {
    for (const Variant variant : variants_offered()) {
        const Call call = make_call(variant, 136, 4128);
        const auto made = plan(call.spec());
        GpuCall on_gpu(device(), *made, call.operands());
        const std::vector<std::int32_t>& m_indptr = routings[2];
        on_gpu.set_m_indptr(m_indptr);
        on_gpu.poison_y();
        on_gpu.run();
        expect_right(call, m_indptr, on_gpu.y(m_indptr.back()), 16);
        ASSERT_FALSE(HasFailure());
    }
}

TEST_P(GpuRouting, AGraphReplaysWithOtherRowCounts) {
    for (const Variant variant : variants_offered()) {
        const Call call = make_call(variant);
        const auto made = plan(call.spec());
        GpuCall on_gpu(device(), *made, call.operands());
        on_gpu.run();  // code is loaded before it is captured
        (void)on_gpu.y(rows);
        const auto replay = device().replay(bench::CacheRule::warm, [&] { on_gpu.run(); });
        ASSERT_TRUE(replay);
        for (const std::vector<std::int32_t>& m_indptr : routings) {
            on_gpu.set_m_indptr(m_indptr);
            on_gpu.poison_y();
            EXPECT_GT(replay(), 0);
            expect_right(call, m_indptr, on_gpu.y(m_indptr.back()));
            ASSERT_FALSE(HasFailure());
        }
    }
}

/// CTAs share out tiles on the device: from call to call, whatever lies in the workspace, and out of a graph.
class GpuSharedTiles : public GpuRouting {
protected:
    /// \param n, k so that there are more tiles than CTAs
    /// \param m_indptrs of as many experts each, the last with all rows
    void expect_right_again(std::int64_t n, std::int64_t k, const std::vector<std::vector<std::int32_t>>& m_indptrs) {
        for (const Variant variant : variants_offered()) {
            const Call call = make_call(variant, n, k, m_indptrs.back());
            const auto made = plan(call.spec());
            GpuCall on_gpu(device(), *made, call.operands());
            on_gpu.run();  // code is loaded before it is captured
            (void)on_gpu.y(rows);
            const auto replay = device().replay(bench::CacheRule::warm, [&] { on_gpu.run(); });
            ASSERT_TRUE(replay);
            for (const std::vector<std::int32_t>& m_indptr : m_indptrs) {
                on_gpu.set_m_indptr(m_indptr);
                on_gpu.poison_y();
                on_gpu.run();
                const std::vector<std::uint8_t> first = on_gpu.y(m_indptr.back());
                expect_right(call, m_indptr, first);
                for (const int dirt : {-1, 0, 0x5A}) {
                    if (dirt >= 0) {
                        on_gpu.fill_workspace(static_cast<std::uint8_t>(dirt));
                    }
                    on_gpu.poison_y();
                    EXPECT_GT(replay(), 0);
                    ASSERT_EQ(on_gpu.y(m_indptr.back()), first) << call.spec().row().name << ", workspace " << dirt;
                    ASSERT_FALSE(HasFailure());
                }
            }
        }
    }
};

TEST_P(GpuSharedTiles, ShortOnes) {
    expect_right_again(16'392, 32, {routings[0], routings[2], routings[4]});  // several are found ahead
}

TEST_P(GpuSharedTiles, LongOnes) {
    constexpr int experts = 140;
    std::vector<std::int32_t> even{0};
    std::vector<std::int32_t> skewed{0};
    for (int e = 1; e <= experts; ++e) {
        skewed.push_back(e < 20 ? e / 2 : 20 + e);
        even.push_back(e * rows / experts);
    }
    expect_right_again(264, 1024, {skewed, even});
}

/// Whatever m_indptr holds, nothing outside of the tensors is touched, and the next call is right.
TEST_P(GpuRouting, NonsenseStaysInsideTheTensors) {
    constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
    constexpr std::int32_t least = std::numeric_limits<std::int32_t>::min();
    for (const Variant variant : variants_offered()) {
        const Call call = make_call(variant);
        const auto made = plan(call.spec());
        GpuCall on_gpu(device(), *made, call.operands());
        for (const std::vector<std::int32_t>& m_indptr :
             std::vector<std::vector<std::int32_t>>{{0, 100, 50, 120, 10, 160},
                                                    {0, most, most, most, most, most},
                                                    {0, 0, 0, 0, 0, 161},
                                                    {0, -5, 3, -7, 90, 100'000},
                                                    {0, least, least, least, least, least},
                                                    {0, most, least, most, least, most},
                                                    {160, 120, 80, 40, 20, 0},
                                                    {-100, 0, 40, 80, 120, 160},
                                                    {50, 60, 70, 80, 90, 1000}}) {
            on_gpu.set_m_indptr(m_indptr);
            on_gpu.poison_y();
            on_gpu.run();
            (void)on_gpu.y(rows);
            ASSERT_FALSE(HasFailure()) << call.spec().row().name << ", " << fmt::format("{}", fmt::join(m_indptr, " "));
        }
        const auto all = call.problem().m_indptr();
        const std::vector<std::int32_t> m_indptr(all.begin(), all.end());
        on_gpu.set_m_indptr(m_indptr);
        on_gpu.poison_y();
        on_gpu.run();
        expect_right(call, m_indptr, on_gpu.y(rows));
    }
}

INSTANTIATE_TEST_SUITE_P(Providers, GpuRouting, testing::ValuesIn(gpu_provider_names()), gpu_test_name);
INSTANTIATE_TEST_SUITE_P(Providers, GpuSharedTiles, testing::ValuesIn(gpu_provider_names()), gpu_test_name);

}  // namespace
}  // namespace moegemm::test
