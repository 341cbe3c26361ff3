// What Plan::run and Plan::pack check before a provider's code sees anything.
#include <cstdlib>
#include <functional>
#include <new>

#include <gtest/gtest.h>

#include <moegemm/provider.hpp>

#include "op/expect_error.hpp"
#include "provider/random_call.hpp"

namespace {
thread_local int allocations = 0;
}  // namespace

// Every allocation of this program is counted. Not inlined: GCC 12 takes a visible free() for the wrong partner of new.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
    ++allocations;
    if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) {
        return memory;
    }
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*bytes*/) noexcept { std::free(memory); }

namespace moegemm::test {
namespace {

constexpr std::size_t workspace_size = 100;
constexpr std::size_t packed_size = 200;

class CountingPlan final : public Plan {
public:
    CountingPlan(const GemmSpec& spec, bool buffers) : Plan(spec, {kDLCPU, 0}), buffers_(buffers) {}
    [[nodiscard]] std::size_t workspace_bytes() const override { return buffers_ ? workspace_size : 0; }
    [[nodiscard]] std::size_t packed_bytes() const override { return buffers_ ? packed_size : 0; }
    [[nodiscard]] std::vector<std::string> kernels() const override { return {"counting"}; }
    int runs = 0;
    int packs = 0;

private:
    void do_pack(const Operands& /*operands*/, const Tensor& /*packed*/, void* /*stream*/) override { ++packs; }
    void do_run(const Operands& /*operands*/, void* /*stream*/) override { ++runs; }
    bool buffers_;
};

class PlanTest : public testing::Test {
protected:
    RandomCall call{small_problem(Variant::int8), 1};
    GuardedBuffer workspace{workspace_size};
    GuardedBuffer packed{packed_size + 64};
    CountingPlan plan{call.problem.spec(), true};
    CountingPlan plain{call.problem.spec(), false};
    Tensor workspace_tensor{workspace.data(), DType::u8, {workspace_size}};
    Tensor packed_tensor{packed.data(), DType::u8, {packed_size}};

    testing::AssertionResult run_refuses(std::string_view argument, std::string_view value, std::string_view allowed,
                                         const std::function<void(Operands&)>& spoil) {
        Operands operands = call.operands;
        operands.workspace = workspace_tensor;
        spoil(operands);
        const int before = plan.runs;
        const auto result =
            throws_error(ErrorCode::invalid_argument, argument, value, allowed, [&] { plan.run(operands); });
        return plan.runs == before ? result : testing::AssertionFailure() << "the plan ran";
    }
};

TEST_F(PlanTest, RunsWhatIsRight) {
    plain.run(call.operands);
    EXPECT_EQ(plain.runs, 1);
    Operands operands = call.operands;
    operands.workspace = workspace_tensor;
    plan.run(operands);
    operands.packed_w = packed_tensor;
    operands.w = operands.w_scale = Tensor();
    plan.run(operands);
    EXPECT_EQ(plan.runs, 2);
}

TEST_F(PlanTest, ChecksWithoutAllocating) {
    for (const Variant variant : {Variant::int8, Variant::fp8_block, Variant::mxfp4, Variant::nvfp4}) {
        const RandomCall of_variant(small_problem(variant), 1);
        CountingPlan counting(of_variant.problem.spec(), false);
        const int before = allocations;
        counting.run(of_variant.operands);
        EXPECT_EQ(allocations, before) << info(variant).name;
    }
}

TEST_F(PlanTest, ChecksOperands) {
    EXPECT_TRUE(run_refuses("experts_weight", "absent", "i8 (2, 20, 64)", [](Operands& o) { o.w = Tensor(); }));
    EXPECT_TRUE(run_refuses("y", "shape (8, 19)", "shape (8, 20)", [](Operands& o) {
        o.y = Tensor(o.y.data(), DType::f32, {8, 19});
    }));
}

TEST_F(PlanTest, ChecksTheWorkspace) {
    EXPECT_TRUE(run_refuses("workspace", "absent", "at least 100 bytes", [](Operands& o) { o.workspace = Tensor(); }));
    EXPECT_TRUE(run_refuses("workspace", "99 bytes", "at least 100 bytes",
                            [&](Operands& o) { o.workspace = Tensor(workspace.data(), DType::u8, {99}); }));
    GuardedBuffer larger(workspace_size + 1);
    EXPECT_TRUE(run_refuses("workspace", "address", "a multiple of 64 bytes", [&](Operands& o) {
        o.workspace = Tensor(larger.data() + 1, DType::u8, {workspace_size});
    }));
    EXPECT_TRUE(run_refuses("workspace", "f32", "u8",
                            [&](Operands& o) { o.workspace = Tensor(workspace.data(), DType::f32, {25}); }));
}

TEST_F(PlanTest, ChecksPackedWeights) {
    EXPECT_TRUE(run_refuses("packed_w", "199 bytes", "at least 200 bytes",
                            [&](Operands& o) { o.packed_w = Tensor(packed.data(), DType::u8, {199}); }));
    EXPECT_TRUE(run_refuses("packed_w", "address", "a multiple of 64 bytes",
                            [&](Operands& o) { o.packed_w = Tensor(packed.data() + 8, DType::u8, {packed_size}); }));
    Operands operands = call.operands;
    operands.packed_w = packed_tensor;
    EXPECT_TRUE(
        throws_error(ErrorCode::invalid_argument, "packed_w", "given", "does not pack", [&] { plain.run(operands); }));
    EXPECT_EQ(plain.runs, 0);
}

TEST_F(PlanTest, Packs) {
    Operands weights;
    weights.w = call.operands.w;
    weights.w_scale = call.operands.w_scale;
    plan.pack(weights, packed_tensor);
    EXPECT_EQ(plan.packs, 1);
}

TEST_F(PlanTest, PackChecksItsTensors) {
    const auto refuses = [&](std::string_view argument, std::string_view value, std::string_view allowed,
                             const Operands& weights, const Tensor& target) {
        return throws_error(ErrorCode::invalid_argument, argument, value, allowed, [&] { plan.pack(weights, target); });
    };
    Operands weights;
    weights.w = call.operands.w;
    EXPECT_TRUE(refuses("experts_scale", "absent", "f32 (2, 20)", weights, packed_tensor));
    weights.w_scale = call.operands.w_scale;
    EXPECT_TRUE(refuses("packed_w", "absent", "200 bytes", weights, Tensor()));
    EXPECT_TRUE(
        refuses("packed_w", "150 bytes", "at least 200 bytes", weights, Tensor(packed.data(), DType::u8, {150})));
    EXPECT_TRUE(refuses("packed_w", "overlaps experts_weight", "of its own", weights,
                        Tensor(call.operands.w.data(), DType::u8, {packed_size})));
    weights.w = Tensor(call.operands.w.data(), DType::i8, {2, 64, 20});
    EXPECT_TRUE(refuses("experts_weight", "(2, 64, 20)", "(2, 20, 64)", weights, packed_tensor));
    EXPECT_EQ(plan.packs, 0);
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "pack", "int8", "does not pack",
                             [&] { plain.pack(call.operands, packed_tensor); }));
}

}  // namespace
}  // namespace moegemm::test
