// NaN and infinities go through a GPU's products as through IEEE arithmetic, and nowhere else.
#include <cmath>
#include <cstring>
#include <limits>

#include "providers/gpu/gpu_call.hpp"

namespace moegemm::test {
namespace {

class GpuSpecialValues : public GpuTest {};

/// Codes of a type that are NaN or infinite; none for those that have no such code.
std::vector<std::uint32_t> special_codes(DType dtype) {
    switch (dtype) {
        case DType::bf16:
            return {0x7FC0, 0x7F80, 0xFF80};
        case DType::e4m3:
            return {0x7F, 0xFF};
        case DType::e5m2:
            return {0x7E, 0x7C, 0xFC};
        case DType::f32:
            return {0x7FC00000, 0x7F800000};
        case DType::ue8m0:
            return {0xFF};
        case DType::ue4m3:
            return {0x7F};
        default:
            return {};
    }
}

TEST_P(GpuSpecialValues, ReachTheOutput) {
    for (const Variant variant : variants_offered()) {
        for (const Role role : {Role::a, Role::w, Role::a_scale, Role::w_scale}) {
            std::mt19937_64 random(17 + static_cast<std::uint64_t>(variant) * 8 + static_cast<std::uint64_t>(role));
            CallOptions options;
            options.most_experts = 3;
            GemmSpec spec = random_problem(variant, random, options).spec();
            spec.experts = 3;
            spec.n = 144;
            spec.k = 320;
            if (!takes(spec)) {
                spec.dst = DType::bf16;  // which every provider gives
            }
            if (spec.row().scaling == Scaling::group) {
                spec.scale_layout = ScaleLayout::linear;  // no padding to land in
            }
            const Problem problem = Problem::from(spec, {0, 9, 9, 80});
            const Call drawn(problem, random, options);
            const Tensor& tensor = drawn.operands()[role];
            if (!tensor.defined() || (spec.a == DType::i8 && tensor.dtype() != DType::f32)) {
                continue;
            }
            for (const std::uint32_t code : special_codes(tensor.dtype())) {
                const Call call(problem, random, options);
                for (int i = 0; i < 3; ++i) {
                    const auto at = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(tensor.elements()));
                    const std::int64_t bytes = info(tensor.dtype()).bytes;
                    std::memcpy(call.bytes(role) + at * bytes, &code, static_cast<std::size_t>(bytes));
                }
                const Call::Expected expected = call.expected();
                const auto made = plan(call.spec());
                expect_conforms(run_gpu(device(), *made, call.operands()), spec.dst, spec.n, expected.y,
                                expected.magnitude, tolerance(spec),
                                describe(problem, {}) + ", code " + std::to_string(code) + " in tensor " +
                                    std::to_string(static_cast<int>(role)));
                ASSERT_FALSE(HasFailure());
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Providers, GpuSpecialValues, testing::ValuesIn(all_gpu_provider_names()), gpu_test_name);

}  // namespace
}  // namespace moegemm::test
