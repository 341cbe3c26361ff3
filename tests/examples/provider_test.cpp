// The example plug-in, loaded as a user would load it, against the reference.
#include <cmath>

#include <gtest/gtest.h>

#include <moegemm/reference.hpp>

#include "provider/random_call.hpp"

namespace moegemm::test {
namespace {

class ExampleProvider : public testing::Test {
protected:
    void SetUp() override {
        registry.load_plugin(MOEGEMM_EXAMPLE_PLUGIN);
        blocked = registry.find("blocked");
    }
    /// Empty experts, and edges that divide none of the kernel's tiles.
    static Problem problem(Variant variant, DType dst, std::int64_t k) {
        GemmSpec spec = small_problem(variant, dst).spec();
        spec.experts = 5;
        spec.n = 77;
        spec.k = k;
        return Problem::from(spec, {0, 0, 19, 19, 20, 53});
    }
    Registry registry;
    std::shared_ptr<const Provider> blocked;
};

TEST_F(ExampleProvider, SaysWhatItLacks) {
    for (const VariantInfo& row : variants) {
        const bool offered = row.id == Variant::bf16 || row.id == Variant::int8;
        const Support support = blocked->supports(small_problem(row.id).spec());
        EXPECT_EQ(support.supported, offered) << row.name;
        EXPECT_EQ(support.reason.find(row.name) != std::string::npos, !offered) << support.reason;
    }
}

TEST_F(ExampleProvider, Int8IsTheReferencesBits) {
    const auto reference_provider = Registry::with_builtin().find("reference");
    for (const DType dst : {DType::bf16, DType::f16, DType::f32}) {
        for (const std::int64_t k : {1, 256, 643}) {
            RandomCall one(problem(Variant::int8, dst, k), 1);
            RandomCall other(one.problem, 1);
            reference_provider->plan(one.problem.spec(), {})->run(one.operands);
            blocked->plan(one.problem.spec(), {})->run(other.operands);
            ASSERT_EQ(one.y->bytes(), other.y->bytes());
            ASSERT_TRUE(other.guards_intact());
        }
    }
}

TEST_F(ExampleProvider, Bf16IsWithinFloat32sRounding) {
    for (const std::int64_t k : {1, 255, 643}) {
        RandomCall call(problem(Variant::bf16, DType::f32, k), 2);
        blocked->plan(call.problem.spec(), {})->run(call.operands);
        const GemmSpec& spec = call.problem.spec();
        const auto expected = reference(call.problem, HostOperandRows(spec, call.operands, call.problem.m_indptr()));
        // |A|, |W| < 8, and 2^-24 a rounding, at most 1 for each of K: a wide bound that a wrong element breaks.
        const double bound = 64.0 * static_cast<double>(k * k) * std::ldexp(1.0, -24);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            ASSERT_NEAR(static_cast<double>(call.operands.y.as<float>()[i]), expected[i], bound);
        }
        ASSERT_TRUE(call.guards_intact());
    }
}

}  // namespace
}  // namespace moegemm::test
