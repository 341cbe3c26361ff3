// Tensors that a GPU provider must refuse, by name, before anything is written.
#include <algorithm>

#include <moegemm/error.hpp>

#include "providers/gpu/gpu_call.hpp"

namespace moegemm::test {
namespace {

class GpuBadInput : public GpuTest {};

TEST_P(GpuBadInput, IsRefusedByName) {
    std::mt19937_64 random(23);
    for (const Variant variant : variants_offered()) {
        const Problem drawn = for_provider(random_problem(variant, random, {.most_experts = 3, .most_rows = 9}));
        GemmSpec spec = drawn.spec();
        spec.dst = DType::bf16;  // which every provider gives
        const Call call(Problem::from(spec, {drawn.m_indptr().begin(), drawn.m_indptr().end()}), random);
        if (call.problem().rows() == 0 || !takes(call.spec())) {
            continue;
        }
        const auto made = plan(call.spec());
        GpuCall good(device(), *made, call.operands());
        const auto refuse = [&](const char* why, const auto& spoil) {
            Operands operands = good.operands();
            spoil(operands);
            try {
                made->run(operands, device().stream());
                ADD_FAILURE() << why << " was accepted";
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << why << ": " << error.what();
                EXPECT_FALSE(error.argument().empty()) << why;
            }
        };
        const auto elsewhere = [](const Tensor& tensor, DLDevice where) {
            return Tensor(tensor.data(), tensor.dtype(), tensor.shape(), where);
        };
        for (const Role role : {Role::a, Role::w, Role::m_indptr, Role::y}) {
            refuse("a tensor in host memory", [&](Operands& o) { o[role] = call.operands()[role]; });
            refuse("a tensor of another GPU", [&](Operands& o) { o[role] = elsewhere(o[role], {kDLCUDA, 1}); });
            refuse("an absent tensor", [&](Operands& o) {
                o[role] = Tensor();
                o.packed_w = role == Role::w ? Tensor() : o.packed_w;  // packed weights stand for it
            });
            refuse("a null pointer",
                   [&](Operands& o) { o[role] = Tensor(nullptr, o[role].dtype(), o[role].shape(), o[role].device()); });
        }
        refuse("a misaligned m_indptr", [&](Operands& o) {
            o.m_indptr = Tensor(o.m_indptr.as<std::byte>() + 2, DType::i32, o.m_indptr.shape(), o.m_indptr.device());
        });
        refuse("a y of another type",
               [&](Operands& o) { o.y = Tensor(o.y.data(), DType::f64, o.y.shape(), o.y.device()); });
        refuse("one row less of y", [&](Operands& o) {
            o.y = Tensor(o.y.data(), o.y.dtype(), {o.y.shape()[0] - 1, o.y.shape()[1]}, o.y.device());
        });
        if (provider().info().needs_host_counts) {
            refuse("no m_indptr on the host", [&](Operands& o) { o.host_m_indptr = nullptr; });
        }
        alignas(256) static std::byte of_host[256];
        refuse("host memory that is said to be the GPU's",
               [&](Operands& o) { o.a = Tensor(of_host, o.a.dtype(), o.a.shape(), o.a.device()); });
        if (made->workspace_bytes() > 0) {
            refuse("a workspace in host memory that is said to be the GPU's", [&](Operands& o) {
                o.workspace = Tensor(of_host, DType::u8, o.workspace.shape(), o.workspace.device());
            });
            refuse("a workspace that is too small", [&](Operands& o) {
                o.workspace = Tensor(o.workspace.data(), DType::u8, {o.workspace.bytes() - 1}, o.workspace.device());
            });
        }
        const std::vector<std::uint8_t> y = good.y(0);  // nothing may have been written
        EXPECT_TRUE(std::all_of(y.begin(), y.end(), [](std::uint8_t byte) { return byte == GpuCall::poison; }));
        good.run();
        (void)good.y(call.problem().rows());
        ASSERT_FALSE(HasFailure()) << call.spec().row().name;
    }
}

TEST_P(GpuBadInput, APlanForAnotherDeviceIsRefused) {
    std::mt19937_64 random(29);
    GemmSpec spec = for_provider(random_problem(variants_offered().front(), random, {})).spec();
    spec.dst = DType::bf16;
    for (const DLDevice where : {DLDevice{kDLCPU, 0}, DLDevice{kDLCUDA, 1000}, DLDevice{kDLCUDA, -1}}) {
        PlanOptions options;
        options.device = where;
        EXPECT_THROW((void)provider().plan(spec, options), Error);
    }
}

INSTANTIATE_TEST_SUITE_P(Providers, GpuBadInput, testing::ValuesIn(all_gpu_provider_names()), gpu_test_name);

}  // namespace
}  // namespace moegemm::test
