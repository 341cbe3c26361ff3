// What must not change a bit of y: the number of threads, packing, and how rows are spread over calls.
#include <cstring>
#include <initializer_list>

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

/// A spec of one expert whose y is f32 and whose scales are row-major: a range of rows is then a range of bytes.
GemmSpec spec_by_rows(Variant variant, std::mt19937_64& random) {
    CallOptions options;
    options.most_experts = 1;
    GemmSpec spec = random_problem(variant, random, options).spec();
    spec.dst = DType::f32;
    const bool grouped = spec.row().scaling == Scaling::group;
    const bool block = spec.row().scaling == Scaling::block;
    spec.scale_layout = grouped ? ScaleLayout::linear : block ? ScaleLayout::k_major : ScaleLayout::none;
    return spec;
}

/// The rows of one expert, all in one call, then in calls of some rows each.
void expect_same_bits_of_any_split(const Call& call, std::initializer_list<std::int32_t> steps) {
    const GemmSpec& spec = call.spec();
    const auto rows = static_cast<std::int32_t>(call.problem().rows());
    // Few rows and many of bf16 and of nvfp4 may differ where tiles multiply the many.
    const bool nvfp4 = spec.variant == Variant::nvfp4 || spec.variant == Variant::nvfp4_a16;
    const std::int32_t border = spec.w == DType::bf16 ? 4 : nvfp4 ? 2 : 0;
    for (const std::string& kernel : testable_kernels()) {
        const bool tiles = kernel.starts_with("amx");
        const std::vector<std::uint8_t> whole = run_cpu(call, {kernel, 2, true});
        for (const std::int32_t step : steps) {
            for (std::int32_t first = 0; first < rows; first += step) {
                const std::int32_t count = std::min(step, rows - first);
                if (tiles && border > 0 && (count > border) != (rows > border)) {
                    continue;
                }
                const Problem part = Problem::from(spec, {0, count});
                Operands operands = call.operands();
                for (const TensorSpec& tensor : tensor_specs(part.spec(), count)) {
                    if (tensor.role == Role::a || tensor.role == Role::a_scale || tensor.role == Role::y) {
                        operands[tensor.role] =
                            Tensor(call.bytes(tensor.role) + tensor.bytes / count * first, tensor.dtype, tensor.shape);
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

TEST_P(SameBits, ForAnySplitOfRows) {
    std::mt19937_64 random(7 + static_cast<std::uint64_t>(GetParam()));
    const GemmSpec spec = spec_by_rows(GetParam(), random);
    for (const std::int32_t rows : {70, 37, 4, 2}) {
        const Call call(Problem::from(spec, {0, rows}), random);
        expect_same_bits_of_any_split(call, {1, 2, 3, 5, 13, 36});
    }
}

/// So many rows that A is read in several runs of K blocks, and so few that it is read in fewer, or at once. Some
/// scales, of late K blocks, are not of tiles.
TEST_P(SameBits, ForAnySplitOfRowsOverDeepK) {
    std::mt19937_64 random(11 + static_cast<std::uint64_t>(GetParam()));
    GemmSpec spec = spec_by_rows(GetParam(), random);
    spec.n = 40;
    spec.k = 2560 + spec.row().k_granularity;
    constexpr std::int32_t rows = 130;
    const Call call(Problem::from(spec, {0, rows}), random);
    expect_same_bits_of_any_split(call, {65, 30});
    if (spec.row().scaling != Scaling::group || spec.row().scale_dtype != DType::ue8m0) {
        return;
    }
    constexpr std::uint8_t not_of_tiles = 127 + 60;
    const std::int64_t columns = spec.scale_columns();
    if (std::uint8_t* scale = call.bytes(Role::a_scale)) {
        scale[(rows - 1) * columns + columns / 2] = not_of_tiles;
    }
    call.bytes(Role::w_scale)[(spec.n - 1) * columns + columns * 3 / 4] = not_of_tiles;
    expect_same_bits_of_any_split(call, {65, 30});
}

INSTANTIATE_TEST_SUITE_P(Variants, SameBits, testing::ValuesIn(all_variants()), [](const auto& test) {
    return std::string(variants[static_cast<std::size_t>(test.param)].name);
});

}  // namespace
}  // namespace moegemm::test
