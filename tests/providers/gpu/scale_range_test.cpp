// ue8m0 scales that lie near each other or far apart, on both sides of where kernels take one route or another.
#include <algorithm>
#include <array>
#include <cstdint>

#include <fmt/format.h>

#include "providers/gpu/gpu_call.hpp"

namespace moegemm::test {
namespace {

class GpuScaleRange : public GpuTest {};

/// Codes between which one side's scales are drawn; the other side's lie around 1.
struct Range {
    std::uint8_t lowest;
    std::uint8_t highest;
};
/// Spans of 14 and 15 binades, and of 26 and 27, between which activations and weights may become fp8 with one scale a
/// row; codes 67 and 187, beyond which they may not; and what bf16 holds beside the values.
constexpr std::array ranges{Range{127, 127}, Range{120, 134}, Range{120, 135}, Range{113, 139},
                            Range{113, 140}, Range{67, 81},   Range{66, 80},   Range{173, 187},
                            Range{174, 188}, Range{40, 90},   Range{100, 170}, Range{20, 220}};

std::vector<Variant> scaled_variants(const std::vector<Variant>& offered) {
    std::vector<Variant> found;
    std::ranges::copy_if(offered, std::back_inserter(found), [](Variant variant) {
        return info(variant).scaling == Scaling::group && info(variant).scale_dtype == DType::ue8m0;
    });
    return found;
}

/// Rows of several tiles, an empty expert, N and K that fill no tile.
Problem problem_of(Variant variant, std::mt19937_64& random) {
    GemmSpec spec = random_problem(variant, random, {}).spec();
    spec.experts = 4;
    spec.n = 200;
    spec.k = 480;
    spec.dst = DType::f32;
    spec.scale_layout = ScaleLayout::linear;
    return Problem::from(spec, {0, 70, 70, 73, 413});
}

void draw(std::uint8_t* codes, std::int64_t count, Range range, std::mt19937_64& random) {
    std::uniform_int_distribution<int> code(range.lowest, range.highest);
    std::generate_n(codes, count, [&] { return static_cast<std::uint8_t>(code(random)); });
}

TEST_P(GpuScaleRange, NearAndFarScalesOfEitherSide) {
    constexpr Range around_one{124, 130};
    for (const Variant variant : scaled_variants(variants_offered())) {
        for (const Range range : ranges) {
            for (const Role side : {Role::a_scale, Role::w_scale}) {
                std::mt19937_64 random(std::size_t{range.lowest} * 256 + range.highest);
                const Problem problem = problem_of(variant, random);
                if (!takes(problem.spec())) {
                    continue;
                }
                const Call call(problem, random);
                for (const Role role : {Role::a_scale, Role::w_scale}) {
                    if (call.operands()[role].defined()) {
                        draw(call.bytes(role), call.operands()[role].elements(), role == side ? range : around_one,
                             random);
                    }
                }
                const Call::Expected expected = call.expected();
                const auto made = plan(call.spec());
                expect_conforms(run_gpu(device(), *made, call.operands()), call.spec().dst, call.spec().n, expected.y,
                                expected.magnitude, tolerance(call.spec()),
                                fmt::format("{}, scales {} to {} of {}", info(variant).name, range.lowest,
                                            range.highest, side == Role::a_scale ? "A" : "W"));
                ASSERT_FALSE(HasFailure());
            }
        }
    }
}

// Rounded where scales of a row differ, by far less than what the sums lose. Beyond code 187, rows of A, a few of them
// or most, are not, and with such a row of W nothing is.
TEST_P(GpuScaleRange, InexactCallsAreAsGoodAsTheirSums) {
    constexpr Range around_one{124, 130};
    constexpr Range across_the_end{183, 188};
    for (const Variant variant : scaled_variants(variants_offered())) {
        for (const auto& [of_a, of_w] : {std::pair{Range{127, 127}, around_one}, std::pair{Range{120, 134}, around_one},
                                         std::pair{Range{185, 189}, around_one}, std::pair{across_the_end, around_one},
                                         std::pair{around_one, across_the_end}}) {
            std::mt19937_64 random(of_a.lowest);
            const Problem drawn = problem_of(variant, random);
            GemmSpec spec = drawn.spec();
            spec.a = spec.row().a;  // not e5m2, which is never rounded
            spec.w = spec.row().w;
            const Problem problem = Problem::from(spec, {drawn.m_indptr().begin(), drawn.m_indptr().end()});
            if (!takes(problem.spec())) {
                continue;
            }
            const Call call(problem, random);
            for (const Role role : {Role::a_scale, Role::w_scale}) {
                if (call.operands()[role].defined()) {
                    draw(call.bytes(role), call.operands()[role].elements(), role == Role::a_scale ? of_a : of_w,
                         random);
                }
            }
            const Call::Expected expected = call.expected();
            const auto made = plan(call.spec(), true);
            EXPECT_EQ(made->kernels().front() == "hopper/rebase_rows",
                      GetParam() == "hopper/many_256" && spec.a != DType::bf16);
            expect_conforms(run_gpu(device(), *made, call.operands()), call.spec().dst, call.spec().n, expected.y,
                            expected.magnitude, tolerance(call.spec(), true),
                            fmt::format("{}, scales {} to {} of A, {} to {} of W", info(variant).name, of_a.lowest,
                                        of_a.highest, of_w.lowest, of_w.highest));
            ASSERT_FALSE(HasFailure());
        }
    }
}

TEST_P(GpuScaleRange, GroupsOfZerosMayHaveAnyScale) {
    for (const Variant variant : scaled_variants(variants_offered())) {
        std::mt19937_64 random(23);
        const Problem problem = problem_of(variant, random);
        if (!takes(problem.spec())) {
            continue;
        }
        const Call call(problem, random);
        const std::int64_t groups = call.spec().scale_columns();
        for (const auto& [values, scales] : {std::pair{Role::a, Role::a_scale}, std::pair{Role::w, Role::w_scale}}) {
            const Tensor& tensor = call.operands()[values];
            if (!call.operands()[scales].defined()) {
                continue;
            }
            const std::int64_t rows = call.operands()[scales].elements() / groups;
            const std::int64_t group_bytes = tensor.bytes() / rows / groups;
            for (std::int64_t row = 0; row < rows; row += 3) {
                const std::int64_t group = row % groups;
                std::fill_n(call.bytes(values) + (row * groups + group) * group_bytes, group_bytes, std::uint8_t{0});
                call.bytes(scales)[row * groups + group] = row % 2 == 0 ? 0 : 254;
            }
        }
        const Call::Expected expected = call.expected();
        const auto made = plan(call.spec());
        expect_conforms(run_gpu(device(), *made, call.operands()), call.spec().dst, call.spec().n, expected.y,
                        expected.magnitude, tolerance(call.spec()), std::string(info(variant).name));
        ASSERT_FALSE(HasFailure());
    }
}

INSTANTIATE_TEST_SUITE_P(Providers, GpuScaleRange, testing::ValuesIn(gpu_provider_names()), gpu_test_name);

}  // namespace
}  // namespace moegemm::test
