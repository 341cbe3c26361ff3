// What must not change a bit of y: the number of threads, packing, and how rows are spread over calls.
#include <cstring>

#include <gtest/gtest.h>

#include <moegemm/variant.hpp>

#include "providers/cpu/call.hpp"
#include "providers/cpu/shape.hpp"

namespace moegemm::test {
namespace {

class SameBits : public testing::TestWithParam<Variant> {};

TEST_P(SameBits, ForAnyThreadsAndPacking) {
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
        std::mt19937_64 random(seed * 16 + static_cast<std::uint64_t>(GetParam()));
        CallOptions options;
        options.most_rows = seed == 0 ? 300 : 30;
        options.most_n = 300;
        const Call call(random_problem(GetParam(), random, options), random, options);
        for (const std::string& kernel : testable_kernels()) {
            const std::vector<std::uint8_t> one = run_cpu(call, {kernel, 1, true});
            for (const int threads : {1, 2, 3, 8}) {
                for (const bool packed : {false, true}) {
                    const RunOptions run{kernel, threads, packed};
                    ASSERT_TRUE(run_cpu(call, run) == one) << describe(call.problem(), run);
                }
            }
        }
    }
}

/// The rows of one expert, all in one call, then in calls of some rows each.
TEST_P(SameBits, ForAnySplitOfRows) {
    std::mt19937_64 random(7 + static_cast<std::uint64_t>(GetParam()));
    CallOptions options;
    options.most_experts = 1;
    Problem drawn = random_problem(GetParam(), random, options);
    GemmSpec spec = drawn.spec();
    spec.dst = DType::f32;
    // Row-major scales: a range of rows is then a range of bytes.
    const bool grouped = spec.row().scaling == Scaling::group;
    const bool block = spec.row().scaling == Scaling::block;
    spec.scale_layout = grouped ? ScaleLayout::linear : block ? ScaleLayout::k_major : ScaleLayout::none;
    // Few rows and many of bf16 and of nvfp4 may differ where tiles multiply the many.
    const bool nvfp4 = spec.variant == Variant::nvfp4 || spec.variant == Variant::nvfp4_a16;
    const auto border = static_cast<std::int32_t>(spec.w == DType::bf16 ? cpu::most_vector_rows(cpu::WeightFormat::bf16)
                                                  : nvfp4 ? cpu::most_vector_rows(cpu::WeightFormat::e2m1_ue4m3)
                                                          : 0);
    for (const std::int32_t rows : {70, 37, 4, 2}) {
        const Call call(Problem::from(spec, {0, rows}), random, options);
        for (const std::string& kernel : testable_kernels()) {
            const bool tiles = kernel.starts_with("amx") || kernel.starts_with("avx512_bf16");
            const std::vector<std::uint8_t> whole = run_cpu(call, {kernel, 2, true});
            for (const std::int32_t step : {1, 2, 3, 5, 13, 36}) {
                for (std::int32_t first = 0; first < rows; first += step) {
                    const std::int32_t count = std::min(step, rows - first);
                    if (tiles && border > 0 && (count > border) != (rows > border)) {
                        continue;
                    }
                    const Problem part = Problem::from(spec, {0, count});
                    Operands operands = call.operands();
                    for (const TensorSpec& tensor : tensor_specs(part.spec(), count)) {
                        if (tensor.role == Role::a || tensor.role == Role::a_scale || tensor.role == Role::y) {
                            operands[tensor.role] = Tensor(call.bytes(tensor.role) + tensor.bytes / count * first,
                                                           tensor.dtype, tensor.shape);
                        }
                    }
                    std::vector<std::int32_t> m_indptr{0, count};
                    operands.m_indptr = Tensor(m_indptr.data(), DType::i32, {2});
                    const std::vector<std::uint8_t> y = run_cpu(part.spec(), operands, {kernel, 1, true});
                    const auto offset = static_cast<std::size_t>(first * spec.n * 4);
                    ASSERT_EQ(std::memcmp(y.data(), whole.data() + offset, y.size()), 0)
                        << spec.row().name << ", " << kernel << ", rows " << first << " … " << first + count;
                }
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Variants, SameBits, testing::ValuesIn(all_variants()), [](const auto& test) {
    return std::string(variants[static_cast<std::size_t>(test.param)].name);
});

}  // namespace
}  // namespace moegemm::test
