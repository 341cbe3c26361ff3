// What the library offers to C callers.
#include <cstring>

#include <gtest/gtest.h>

#include <moegemm/abi.h>

#include "provider/random_call.hpp"
#include "providers/reference/provider.hpp"

namespace moegemm::test {
namespace {

TEST(CApi, SaysItsVersion) { EXPECT_EQ(moegemm_abi_version(), MOEGEMM_ABI_VERSION); }

TEST(CApi, FindsTheBuiltInProviders) {
    for (const char* name : {"reference", "cpu", "onednn"}) {
        const moegemm_provider* provider = nullptr;
        ASSERT_EQ(moegemm_find_provider(name, &provider), MOEGEMM_OK);
        EXPECT_STREQ(provider->name, name);
        const moegemm_provider* again = nullptr;
        ASSERT_EQ(moegemm_find_provider(name, &again), MOEGEMM_OK);
        EXPECT_EQ(provider, again);
    }
    const moegemm_provider* provider = nullptr;
    EXPECT_EQ(moegemm_find_provider("tpu", &provider), MOEGEMM_INVALID_ARGUMENT);
    EXPECT_EQ(provider, nullptr);
    EXPECT_STREQ(moegemm_last_error()->argument, "provider");
    EXPECT_STREQ(moegemm_last_error()->value, "tpu");
    EXPECT_STREQ(moegemm_last_error()->allowed, "one of reference, cpu, onednn");
}

TEST(CApi, MakesProblems) {
    const char* keys[] = {"num_tokens", "num_experts",   "topk",      "ep_size",         "hidden_size",
                          "dtype",      "compute_dtype", "dst_dtype", "new_hidden_size", "w_dtype"};
    const char* values[] = {"6", "4", "2", "2", "96", "mxfp8", "mxfp4", "float16", "10", "mxfp4"};
    moegemm_problem* problem = nullptr;
    ASSERT_EQ(moegemm_problem_create(keys, values, 10, nullptr, 0, &problem), MOEGEMM_OK)
        << moegemm_last_error()->message;
    const moegemm_spec* spec = moegemm_problem_spec(problem);
    EXPECT_EQ(spec->struct_size, sizeof(moegemm_spec));
    EXPECT_STREQ(spec->variant, "mxfp4");
    EXPECT_STREQ(spec->a_dtype, "e4m3");
    EXPECT_STREQ(spec->w_dtype, "e2m1x2");
    EXPECT_STREQ(spec->dst_dtype, "f16");
    EXPECT_STREQ(spec->scale_layout, "swizzled_128x4");
    EXPECT_EQ(spec->has_alpha, 0);
    EXPECT_EQ(spec->experts, 2);
    EXPECT_EQ(spec->n, 10);
    EXPECT_EQ(spec->k, 96);
    EXPECT_EQ(spec->max_rows, 6);
    // 12 rows over experts 0 2 1 3 (ranks interleaved), 3 each.
    const std::int32_t* m_indptr = moegemm_problem_m_indptr(problem);
    EXPECT_EQ((std::vector<std::int32_t>(m_indptr, m_indptr + 3)), (std::vector<std::int32_t>{0, 3, 6}));
    const moegemm_provider* provider = nullptr;
    ASSERT_EQ(moegemm_find_provider("reference", &provider), MOEGEMM_OK);
    EXPECT_EQ(provider->supports(provider->self, spec), MOEGEMM_OK);
    moegemm_problem_destroy(problem);
}

TEST(CApi, RunsAsTheProviderDoes) {
    RandomCall direct(small_problem(Variant::nvfp4, DType::bf16), 5);
    RandomCall through(direct.problem, 5);
    make_reference_provider()->plan(direct.problem.spec(), {})->run(direct.operands);

    const moegemm_provider* provider = nullptr;
    ASSERT_EQ(moegemm_find_provider("reference", &provider), MOEGEMM_OK);
    const moegemm_spec spec{
        sizeof(moegemm_spec), "nvfp4", "e2m1x2", "e2m1x2", "bf16", "swizzled_128x4", 1, 2, 20, 64, 8};
    moegemm_plan_options options{};
    options.struct_size = sizeof options;
    options.device.device_type = kDLCPU;
    moegemm_plan* plan = nullptr;
    ASSERT_EQ(provider->plan(provider->self, &spec, &options, &plan), MOEGEMM_OK) << provider->last_error()->message;
    EXPECT_STREQ(provider->kernels(plan), "float64");
    std::array<DLTensor, role_count> tensors;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        tensors[i] = through.operands[static_cast<Role>(i)].to_dl();
        if (info(through.operands[static_cast<Role>(i)].dtype()).bytes == 1) {
            tensors[i].dtype = {kDLUInt, 8, 1};  // as frameworks without the format's own type have it
        }
    }
    const moegemm_operands operands{sizeof(moegemm_operands),
                                    &tensors[0],
                                    &tensors[1],
                                    &tensors[2],
                                    &tensors[3],
                                    &tensors[4],
                                    &tensors[5],
                                    &tensors[6],
                                    nullptr,
                                    nullptr,
                                    nullptr};
    EXPECT_EQ(provider->run(plan, &operands, nullptr), MOEGEMM_OK) << provider->last_error()->message;
    provider->destroy_plan(plan);
    EXPECT_EQ(direct.y->bytes(), through.y->bytes());
    EXPECT_TRUE(through.guards_intact());
}

}  // namespace
}  // namespace moegemm::test
