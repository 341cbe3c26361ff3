// What must not change a bit of y on the GPU: running again, and how rows are spread over calls of one plan.
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "providers/gpu/gpu_call.hpp"

namespace moegemm::test {
namespace {

class GpuSameBits : public GpuTest {};

TEST_P(GpuSameBits, FromRunToRun) {
    for (const Variant variant : variants_offered()) {
        std::mt19937_64 random(3 + static_cast<std::uint64_t>(variant));
        for (const CallOptions& options :
             {CallOptions{.most_experts = 8, .most_rows = 8}, {.most_experts = 4, .most_rows = 300, .most_n = 700}}) {
            const Call call(random_problem(variant, random, options), random, options);
            const auto made = plan(call.spec());
            const std::vector<std::uint8_t> first = run_gpu(device(), *made, call.operands());
            for (int i = 0; i < 5; ++i) {
                ASSERT_EQ(run_gpu(device(), *made, call.operands()), first) << describe(call.problem(), {});
            }
        }
    }
}

/// Rows [first, first + count) of all experts' rows as a call of their own, by the same plan.
std::vector<std::uint8_t> run_part(bench::Device& device, Plan& plan, const Call& call, std::int32_t first,
                                   std::int32_t count) {
    const auto all = call.problem().m_indptr();
    std::vector<std::int32_t> m_indptr(all.size());
    std::transform(all.begin(), all.end(), m_indptr.begin(),
                   [&](std::int32_t row) { return std::clamp(row - first, 0, count); });
    Operands operands = call.operands();
    for (const TensorSpec& tensor : tensor_specs(call.spec(), count)) {
        if (tensor.role == Role::a || tensor.role == Role::a_scale || tensor.role == Role::y) {
            operands[tensor.role] =
                Tensor(call.bytes(tensor.role) + tensor.bytes / count * first, tensor.dtype, tensor.shape);
        }
    }
    operands.m_indptr = Tensor(m_indptr.data(), DType::i32, {static_cast<std::int64_t>(m_indptr.size())});
    return run_gpu(device, plan, operands);
}

TEST_P(GpuSameBits, ForAnySplitOfRows) {
    // y of bf16 is written in another way than that of f32.
    for (int i = 0; i < 2 * static_cast<int>(variants_offered().size()); ++i) {
        const Variant variant = variants_offered()[static_cast<std::size_t>(i / 2)];
        std::mt19937_64 random(7 + static_cast<std::uint64_t>(variant));
        GemmSpec spec = random_problem(variant, random, {}).spec();
        spec.dst = i % 2 == 0 ? DType::f32 : DType::bf16;
        // Row-major scales: a range of rows is then a range of bytes.
        spec.scale_layout = spec.row().scaling == Scaling::group   ? ScaleLayout::linear
                            : spec.row().scaling == Scaling::block ? ScaleLayout::k_major
                                                                   : ScaleLayout::none;
        spec.experts = 4;
        spec.n = 264;
        spec.k = 640;
        constexpr std::int32_t rows = 300;
        const Call call(Problem::from(spec, {0, 3, 203, 203, rows}), random);
        const auto made = plan(call.spec());
        const std::vector<std::uint8_t> whole = run_gpu(device(), *made, call.operands());
        for (const std::int32_t step : {1, 7, 64, 131, 299}) {
            for (std::int32_t first = 0; first < rows; first += step == 1 ? 37 : step) {
                const std::int32_t count = std::min(step, rows - first);
                const std::vector<std::uint8_t> part = run_part(device(), *made, call, first, count);
                ASSERT_EQ(std::memcmp(part.data(), whole.data() + first * spec.n * info(spec.dst).bytes, part.size()),
                          0)
                    << spec.row().name << ", rows " << first << " … " << first + count;
            }
        }
    }
}

TEST_P(GpuSameBits, ForRowsWidenedBesideProducts) {
    // Of so many rows, `hopper` widens most while others are multiplied; of a part of them, all before.
    for (const Variant variant : variants_offered()) {
        std::mt19937_64 random(11 + static_cast<std::uint64_t>(variant));
        GemmSpec spec = random_problem(variant, random, {}).spec();
        if (spec.row().scaling != Scaling::group || spec.a == DType::bf16) {
            continue;
        }
        spec.dst = DType::bf16;
        spec.scale_layout = ScaleLayout::linear;
        spec.experts = 3;
        spec.n = 8200;
        constexpr std::int32_t rows = 6331;
        for (const std::int64_t k : {96, 2144}) {
            spec.k = k;
            const Call call(Problem::from(spec, {0, 1500, 1500, rows}), random);
            const auto made = plan(call.spec());
            const std::vector<std::uint8_t> whole = run_gpu(device(), *made, call.operands());
            constexpr std::int32_t step = 1111;
            for (std::int32_t first = 0; first < rows; first += step) {
                const std::int32_t count = std::min(step, rows - first);
                const std::vector<std::uint8_t> part = run_part(device(), *made, call, first, count);
                ASSERT_EQ(std::memcmp(part.data(), whole.data() + first * spec.n * info(spec.dst).bytes, part.size()),
                          0)
                    << spec.row().name << ", K " << k << ", rows " << first << " … " << first + count;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Providers, GpuSameBits, testing::ValuesIn(gpu_provider_names()), gpu_test_name);

}  // namespace
}  // namespace moegemm::test
