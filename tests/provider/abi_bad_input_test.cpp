// Bad input through the C ABI: the status, what last_error names, and a y that keeps its poison.
#include <cstring>
#include <functional>
#include <limits>
#include <ostream>

#include <gtest/gtest.h>

#include <moegemm/abi.h>
#include <moegemm/plugin.hpp>

#include "provider/random_call.hpp"
#include "providers/reference/provider.hpp"

namespace moegemm::test {
namespace {

/// Whether `status` is this one and the error names argument, value and what is allowed (parts of the latter two).
testing::AssertionResult failed(const moegemm_error& error, moegemm_status status, moegemm_status expected,
                                std::string_view argument, std::string_view value, std::string_view allowed) {
    const std::string_view message = error.message;
    if (status != expected || error.status != expected) {
        return testing::AssertionFailure() << "status " << status << ", last_error " << error.status << ": " << message;
    }
    if (error.argument != argument) {
        return testing::AssertionFailure() << "argument " << error.argument << ": " << message;
    }
    if (std::string_view(error.value).find(value) == std::string_view::npos ||
        std::string_view(error.allowed).find(allowed) == std::string_view::npos) {
        return testing::AssertionFailure() << "value or allowed: " << message;
    }
    if (message.find(argument) == std::string_view::npos || message.find(error.allowed) == std::string_view::npos) {
        return testing::AssertionFailure() << "the message leaves something out: " << message;
    }
    return testing::AssertionSuccess();
}

// ---- problems ----

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct BadProblem {
    std::string name;
    Pairs changes;  ///< to the good arguments
    moegemm_status status;
    std::string argument, value, allowed;
    std::string routing = "balanced";
};

void PrintTo(const BadProblem& bad, std::ostream* out) { *out << bad.name; }

class BadProblemTest : public testing::TestWithParam<BadProblem> {};

TEST_P(BadProblemTest, IsNamed) {
    Pairs pairs{{"num_tokens", "16"},      {"num_experts", "8"},     {"topk", "2"},     {"ep_size", "2"},
                {"ep_rank", "1"},          {"hidden_size", "64"},    {"dtype", "int8"}, {"w_dtype", "int8"},
                {"compute_dtype", "int8"}, {"new_hidden_size", "20"}};
    pairs.insert(pairs.end(), GetParam().changes.begin(), GetParam().changes.end());  // a later pair wins
    std::vector<const char*> keys;
    std::vector<const char*> values;
    for (const auto& [key, value] : pairs) {
        keys.push_back(key.c_str());
        values.push_back(value.c_str());
    }
    moegemm_problem* problem = nullptr;
    ASSERT_EQ(moegemm_problem_create(keys.data(), values.data(), 10, nullptr, 0, &problem), MOEGEMM_OK);
    moegemm_problem_destroy(problem);
    const moegemm_status status =
        moegemm_problem_create(keys.data(), values.data(), pairs.size(), GetParam().routing.c_str(), 0, &problem);
    EXPECT_EQ(problem, nullptr);
    EXPECT_TRUE(failed(*moegemm_last_error(), status, GetParam().status, GetParam().argument, GetParam().value,
                       GetParam().allowed));
}

const Pairs mx{{"dtype", "mxfp8"}, {"w_dtype", "mxfp8"}, {"compute_dtype", "mxfp8"}, {"hidden_size", "48"}};
const Pairs nv{{"dtype", "nvfp4"}, {"w_dtype", "nvfp4"}, {"compute_dtype", "nvfp4"}, {"hidden_size", "24"}};

INSTANTIATE_TEST_SUITE_P(
    Arguments, BadProblemTest,
    testing::Values(
        BadProblem{"experts_over_ranks", {{"ep_size", "3"}}, MOEGEMM_INVALID_ARGUMENT, "ep_size", "3", "8"},
        BadProblem{"topk_zero", {{"topk", "0"}}, MOEGEMM_INVALID_ARGUMENT, "topk", "0", "8"},
        BadProblem{"topk_too_large", {{"topk", "9"}}, MOEGEMM_INVALID_ARGUMENT, "topk", "9", "8"},
        BadProblem{"ep_rank_too_large", {{"ep_rank", "2"}}, MOEGEMM_INVALID_ARGUMENT, "ep_rank", "2", "1"},
        BadProblem{"ep_rank_negative", {{"ep_rank", "-1"}}, MOEGEMM_INVALID_ARGUMENT, "ep_rank", "-1", "0"},
        BadProblem{"tokens_negative", {{"num_tokens", "-4"}}, MOEGEMM_INVALID_ARGUMENT, "num_tokens", "-4", "0"},
        BadProblem{
            "tokens_no_number", {{"num_tokens", "many"}}, MOEGEMM_INVALID_ARGUMENT, "num_tokens", "many", "integer"},
        BadProblem{"arg_type", {{"arg_type", "vision"}}, MOEGEMM_INVALID_ARGUMENT, "arg_type", "vision", "llm"},
        BadProblem{"dtype_unknown", {{"dtype", "int7"}}, MOEGEMM_INVALID_ARGUMENT, "dtype", "int7", "int8"},
        BadProblem{"dst_unknown", {{"dst_dtype", "int8"}}, MOEGEMM_INVALID_ARGUMENT, "dst_dtype", "int8", "bfloat16"},
        BadProblem{"no_variant",
                   {{"w_dtype", "nvfp4"}},
                   MOEGEMM_INVALID_ARGUMENT,
                   "dtype,w_dtype,compute_dtype",
                   "int8,nvfp4,int8",
                   "int8,int8,int8"},
        BadProblem{"k_zero", {{"hidden_size", "0"}}, MOEGEMM_INVALID_ARGUMENT, "hidden_size", "0", "1"},
        BadProblem{"k_against_32", mx, MOEGEMM_INVALID_ARGUMENT, "hidden_size", "48", "multiple of 32"},
        BadProblem{"k_against_16", nv, MOEGEMM_INVALID_ARGUMENT, "hidden_size", "24", "multiple of 16"},
        BadProblem{
            "k_of_int8", {{"hidden_size", "131072"}}, MOEGEMM_INVALID_ARGUMENT, "hidden_size", "131072", "131071"},
        BadProblem{"n_zero", {{"new_hidden_size", "0"}}, MOEGEMM_INVALID_ARGUMENT, "new_hidden_size", "0", "1"},
        BadProblem{"layout", {{"scale_layout", "linear"}}, MOEGEMM_INVALID_ARGUMENT, "scale_layout", "linear", "none"},
        BadProblem{"weights_overflow",
                   {{"new_hidden_size", "4611686018427387904"}},
                   MOEGEMM_OVERFLOW,
                   "experts_weight",
                   "*",
                   "2^63"},
        BadProblem{"routing", {}, MOEGEMM_INVALID_ARGUMENT, "routing", "random", "uniform", "random"},
        BadProblem{"routing_exponent", {}, MOEGEMM_INVALID_ARGUMENT, "routing", "zipf:-1", "zipf", "zipf:-1"},
        BadProblem{"routing_file",
                   {},
                   MOEGEMM_IO,
                   "routing",
                   "/nowhere/counts.json",
                   "row counts",
                   "counts:/nowhere/counts.json"}),
    [](const auto& test) { return test.param.name; });

TEST(BadProblem, NullPointersAreNamed) {
    const char* key = "topk";
    const char* const no_text = nullptr;
    moegemm_problem* problem = nullptr;
    const auto create = [&](const char* const* keys, const char* const* values, moegemm_problem** out) {
        return moegemm_problem_create(keys, values, 1, nullptr, 0, out);
    };
    const auto is_null = [](moegemm_status status, std::string_view argument) {
        return failed(*moegemm_last_error(), status, MOEGEMM_INVALID_ARGUMENT, argument, "null", "not null");
    };
    EXPECT_TRUE(is_null(create(&key, &key, nullptr), "problem"));
    EXPECT_TRUE(is_null(create(nullptr, &key, &problem), "keys"));
    EXPECT_TRUE(is_null(create(&key, nullptr, &problem), "values"));
    EXPECT_TRUE(is_null(create(&no_text, &key, &problem), "keys[0]"));
    EXPECT_TRUE(is_null(create(&key, &no_text, &problem), "values[0]"));
    const moegemm_provider* provider = nullptr;
    EXPECT_TRUE(is_null(moegemm_find_provider(nullptr, &provider), "name"));
    EXPECT_TRUE(is_null(moegemm_find_provider("cpu", nullptr), "provider"));
    moegemm_problem_destroy(nullptr);
    EXPECT_EQ(moegemm_problem_spec(nullptr), nullptr);
    EXPECT_EQ(moegemm_problem_m_indptr(nullptr), nullptr);
}

// ---- specs ----

class AbiTest : public testing::Test {
protected:
    ExportedProvider exported{make_reference_provider()};
    const moegemm_provider& table = *exported.table();

    static moegemm_spec good_spec() {
        return {sizeof(moegemm_spec), "int8", "i8", "i8", "f32", "none", 0, 2, 20, 64, 8};
    }
    static moegemm_plan_options good_options() {
        moegemm_plan_options options{};
        options.struct_size = sizeof options;
        options.device.device_type = kDLCPU;
        return options;
    }
    testing::AssertionResult is(moegemm_status status, moegemm_status expected, std::string_view argument,
                                std::string_view value, std::string_view allowed) {
        return failed(*table.last_error(), status, expected, argument, value, allowed);
    }
    testing::AssertionResult invalid(moegemm_status status, std::string_view argument, std::string_view value,
                                     std::string_view allowed) {
        return is(status, MOEGEMM_INVALID_ARGUMENT, argument, value, allowed);
    }
};

TEST_F(AbiTest, SpecsAreChecked) {
    const auto refuses = [&](std::string_view argument, std::string_view value, std::string_view allowed,
                             const std::function<void(moegemm_spec&)>& spoil,
                             moegemm_status expected = MOEGEMM_INVALID_ARGUMENT) {
        moegemm_spec spec = good_spec();
        spoil(spec);
        const auto supports = is(table.supports(table.self, &spec), expected, argument, value, allowed);
        const moegemm_plan_options options = good_options();
        moegemm_plan* plan = nullptr;
        const auto planned = is(table.plan(table.self, &spec, &options, &plan), expected, argument, value, allowed);
        EXPECT_EQ(plan, nullptr);
        return supports ? planned : supports;
    };
    const moegemm_spec spec = good_spec();
    ASSERT_EQ(table.supports(table.self, &spec), MOEGEMM_OK);

    EXPECT_TRUE(refuses("spec.struct_size", "0", "at least", [](auto& s) { s.struct_size = 0; }));
    EXPECT_TRUE(refuses("spec.struct_size", "8", "at least", [](auto& s) { s.struct_size = 8; }));
    EXPECT_TRUE(refuses("spec.variant", "null", "not null", [](auto& s) { s.variant = nullptr; }));
    EXPECT_TRUE(refuses("spec.variant", "int9", "bf16, int8, fp8", [](auto& s) { s.variant = "int9"; }));
    EXPECT_TRUE(refuses("spec.a_dtype", "null", "not null", [](auto& s) { s.a_dtype = nullptr; }));
    EXPECT_TRUE(refuses("spec.a_dtype", "s8", "i8", [](auto& s) { s.a_dtype = "s8"; }));
    EXPECT_TRUE(refuses("spec.w_dtype", "", "i8", [](auto& s) { s.w_dtype = ""; }));
    EXPECT_TRUE(refuses("spec.dst_dtype", "f8", "bf16", [](auto& s) { s.dst_dtype = "f8"; }));
    EXPECT_TRUE(refuses("spec.scale_layout", "null", "not null", [](auto& s) { s.scale_layout = nullptr; }));
    EXPECT_TRUE(refuses("spec.scale_layout", "zigzag", "k_major", [](auto& s) { s.scale_layout = "zigzag"; }));
    EXPECT_TRUE(refuses("dtype", "bf16", "i8", [](auto& s) { s.a_dtype = "bf16"; }));
    EXPECT_TRUE(refuses("w_dtype", "e4m3", "i8", [](auto& s) { s.w_dtype = "e4m3"; }));
    EXPECT_TRUE(refuses("dst_dtype", "float64", "float32", [](auto& s) { s.dst_dtype = "f64"; }));
    EXPECT_TRUE(refuses("scale_layout", "linear", "none", [](auto& s) { s.scale_layout = "linear"; }));
    EXPECT_TRUE(refuses("alpha", "given", "none", [](auto& s) { s.has_alpha = 1; }));
    EXPECT_TRUE(refuses("num_experts", "0", "1", [](auto& s) { s.experts = 0; }));
    EXPECT_TRUE(refuses("new_hidden_size", "-3", "1", [](auto& s) { s.n = -3; }));
    EXPECT_TRUE(refuses("hidden_size", "131072", "131071", [](auto& s) { s.k = 131072; }));
    EXPECT_TRUE(refuses("max_rows", "-1", "0", [](auto& s) { s.max_rows = -1; }));
    EXPECT_TRUE(refuses(
        "experts_weight", "*", "2^63", [](auto& s) { s.n = std::numeric_limits<std::int64_t>::max(); },
        MOEGEMM_OVERFLOW));
    moegemm_spec longer = good_spec();
    longer.struct_size += 8;  // a later version's
    EXPECT_EQ(table.supports(table.self, &longer), MOEGEMM_OK);
}

TEST_F(AbiTest, NullPointersAndOptionsAreChecked) {
    const moegemm_spec spec = good_spec();
    moegemm_plan_options options = good_options();
    moegemm_plan* plan = nullptr;
    EXPECT_TRUE(invalid(table.supports(table.self, nullptr), "spec", "null", "not null"));
    EXPECT_TRUE(invalid(table.supports(nullptr, &spec), "self", "null", "not null"));
    EXPECT_TRUE(invalid(table.plan(table.self, nullptr, &options, &plan), "spec", "null", "not null"));
    EXPECT_TRUE(invalid(table.plan(table.self, &spec, nullptr, &plan), "options", "null", "not null"));
    EXPECT_TRUE(invalid(table.plan(table.self, &spec, &options, nullptr), "plan", "null", "not null"));
    options.struct_size = 4;
    EXPECT_TRUE(invalid(table.plan(table.self, &spec, &options, &plan), "options.struct_size", "4", "at least"));
    options = good_options();
    options.device.device_type = kDLCUDA;
    EXPECT_TRUE(
        is(table.plan(table.self, &spec, &options, &plan), MOEGEMM_UNSUPPORTED, "device", "device type 2", "the CPU"));
    options = good_options();
    options.threads = -2;
    EXPECT_TRUE(invalid(table.plan(table.self, &spec, &options, &plan), "threads", "-2", "0 or more"));
    options = good_options();
    options.kernel = "fast";
    EXPECT_TRUE(invalid(table.plan(table.self, &spec, &options, &plan), "kernel", "fast", "float64"));
    EXPECT_EQ(plan, nullptr);

    const char* text = nullptr;
    EXPECT_TRUE(invalid(table.variant(table.self, nullptr, &text, &text), "variant", "null", "not null"));
    EXPECT_TRUE(invalid(table.variant(table.self, "bf16", nullptr, &text), "accumulation", "null", "not null"));
    EXPECT_TRUE(invalid(table.variant(table.self, "bf16", &text, nullptr), "scale_range", "null", "not null"));
    EXPECT_TRUE(invalid(table.variant(table.self, "fp4", &text, &text), "variant", "fp4", "mxfp4"));

    EXPECT_EQ(table.workspace_bytes(nullptr), 0U);
    EXPECT_EQ(table.packed_bytes(nullptr), 0U);
    EXPECT_STREQ(table.kernels(nullptr), "");
    table.destroy_plan(nullptr);
}

// ---- operands ----

/// A call whose tensors can be spoilt one by one.
class AbiRunTest : public AbiTest {
protected:
    RandomCall call{small_problem(Variant::int8), 1};
    moegemm_plan* plan = nullptr;

    struct Tensors {
        explicit Tensors(const Operands& from) {
            for (int i = 0; i < role_count; ++i) {
                dl[static_cast<std::size_t>(i)] = from[static_cast<Role>(i)].to_dl();
            }
            operands.struct_size = sizeof operands;
            operands.a = &at(Role::a);
            operands.w = &at(Role::w);
            operands.a_scale = &at(Role::a_scale);
            operands.w_scale = &at(Role::w_scale);
            operands.m_indptr = &at(Role::m_indptr);
            operands.y = &at(Role::y);
        }
        DLTensor& at(Role role) { return dl[static_cast<std::size_t>(role)]; }
        std::array<DLTensor, role_count> dl{};
        moegemm_operands operands{};
    };

    void SetUp() override {
        const moegemm_spec spec = good_spec();
        const moegemm_plan_options options = good_options();
        ASSERT_EQ(table.plan(table.self, &spec, &options, &plan), MOEGEMM_OK);
    }
    void TearDown() override {
        EXPECT_TRUE(call.y->all(RandomCall::poison)) << "y was written";
        EXPECT_TRUE(call.guards_intact());
        table.destroy_plan(plan);
    }

    testing::AssertionResult refuses(std::string_view argument, std::string_view value, std::string_view allowed,
                                     const std::function<void(Tensors&)>& spoil) {
        Tensors tensors(call.operands);
        spoil(tensors);
        return invalid(table.run(plan, &tensors.operands, nullptr), argument, value, allowed);
    }
};

TEST_F(AbiRunTest, PointersAndSizes) {
    Tensors good(call.operands);
    EXPECT_TRUE(invalid(table.run(nullptr, &good.operands, nullptr), "plan", "null", "not null"));
    EXPECT_TRUE(invalid(table.run(plan, nullptr, nullptr), "operands", "null", "not null"));
    EXPECT_TRUE(refuses("operands.struct_size", "24", "at least", [](Tensors& t) { t.operands.struct_size = 24; }));
    EXPECT_TRUE(
        refuses("scatter_tokens", "a null pointer", "512 elements", [](Tensors& t) { t.at(Role::a).data = nullptr; }));
    EXPECT_TRUE(
        refuses("scatter_tokens", "a null shape", "2 entries", [](Tensors& t) { t.at(Role::a).shape = nullptr; }));
    EXPECT_TRUE(invalid(table.pack(plan, &good.operands, nullptr, nullptr), "packed", "null", "not null"));
    EXPECT_TRUE(is(table.pack(plan, &good.operands, good.operands.packed_w = &good.at(Role::y), nullptr),
                   MOEGEMM_INVALID_ARGUMENT, "packed_w", "32 bits", "u8"));
}

TEST_F(AbiRunTest, MissingTensors) {
    EXPECT_TRUE(refuses("scatter_tokens", "absent", "i8", [](Tensors& t) { t.operands.a = nullptr; }));
    EXPECT_TRUE(refuses("experts_weight", "absent", "i8 (2, 20, 64)", [](Tensors& t) { t.operands.w = nullptr; }));
    EXPECT_TRUE(refuses("per_token_scale", "absent", "f32 (8)", [](Tensors& t) { t.operands.a_scale = nullptr; }));
    EXPECT_TRUE(refuses("experts_scale", "absent", "f32 (2, 20)", [](Tensors& t) { t.operands.w_scale = nullptr; }));
    EXPECT_TRUE(refuses("m_indptr", "absent", "i32 (3)", [](Tensors& t) { t.operands.m_indptr = nullptr; }));
    EXPECT_TRUE(refuses("y", "absent", "f32 (8, 20)", [](Tensors& t) { t.operands.y = nullptr; }));
    EXPECT_TRUE(refuses("alpha", "given", "null", [](Tensors& t) { t.operands.alpha = &t.at(Role::w_scale); }));
}

TEST_F(AbiRunTest, TypesShapesAndStrides) {
    EXPECT_TRUE(refuses("scatter_tokens", "code 1", "i8", [](Tensors& t) { t.at(Role::a).dtype = {kDLUInt, 8, 1}; }));
    EXPECT_TRUE(refuses("y", "16 bits", "f32", [](Tensors& t) { t.at(Role::y).dtype = {kDLFloat, 16, 1}; }));
    EXPECT_TRUE(refuses("m_indptr", "64 bits", "i32", [](Tensors& t) {
        t.at(Role::m_indptr).dtype = {kDLInt, 64, 1};
    }));
    EXPECT_TRUE(refuses("experts_weight", "4 dimensions", "3", [](Tensors& t) { t.at(Role::w).ndim = 4; }));
    EXPECT_TRUE(refuses("experts_weight", "-1 dimensions", "3", [](Tensors& t) { t.at(Role::w).ndim = -1; }));
    EXPECT_TRUE(refuses("experts_weight", "(2, 20)", "(2, 20, 64)", [](Tensors& t) { t.at(Role::w).ndim = 2; }));
    std::int64_t wrong[] = {8, 21};
    EXPECT_TRUE(refuses("y", "(8, 21)", "(8, 20)", [&](Tensors& t) { t.at(Role::y).shape = wrong; }));
    std::int64_t nine_rows[] = {9, 64};
    EXPECT_TRUE(refuses("scatter_tokens", "9 rows", "at most the plan's max_rows, 8",
                        [&](Tensors& t) { t.at(Role::a).shape = nine_rows; }));
    std::int64_t negative[] = {-8, 20};
    EXPECT_TRUE(refuses("y", "(-8, 20)", "negative", [&](Tensors& t) { t.at(Role::y).shape = negative; }));
    std::int64_t strides[] = {1, 8};
    EXPECT_TRUE(refuses("y", "strides (1, 8)", "compact", [&](Tensors& t) { t.at(Role::y).strides = strides; }));
    std::int64_t huge[] = {std::int64_t{1} << 40, std::int64_t{1} << 40};
    Tensors tensors(call.operands);
    tensors.at(Role::y).shape = huge;
    EXPECT_TRUE(is(table.run(plan, &tensors.operands, nullptr), MOEGEMM_OVERFLOW, "y", "1099511627776", "2^63"));
}

TEST_F(AbiRunTest, DevicesAndAlignment) {
    EXPECT_TRUE(refuses("experts_weight", "type 2", "type 1", [](Tensors& t) { t.at(Role::w).device = {kDLCUDA, 0}; }));
    EXPECT_TRUE(refuses("y", "address", "4 bytes", [](Tensors& t) { t.at(Role::y).byte_offset = 2; }));
    EXPECT_TRUE(
        refuses("per_token_scale", "address", "4 bytes", [](Tensors& t) { t.at(Role::a_scale).byte_offset = 1; }));
    EXPECT_TRUE(
        refuses("y", "overlaps scatter_tokens", "apart", [](Tensors& t) { t.at(Role::y).data = t.at(Role::a).data; }));
}

TEST_F(AbiRunTest, RowOffsets) {
    const auto with = [&](std::int32_t first, std::int32_t second, std::int32_t third, std::string_view value,
                          std::string_view allowed) {
        std::array<std::int32_t, 3> m_indptr{first, second, third};
        return refuses("m_indptr", value, allowed, [&](Tensors& t) { t.at(Role::m_indptr).data = m_indptr.data(); });
    };
    EXPECT_TRUE(with(1, 3, 8, "1 at entry 0", "0 at entry 0"));
    EXPECT_TRUE(with(0, 9, 8, "8 at entry 2", "at least entry 1, which is 9"));
    EXPECT_TRUE(with(0, -1, 8, "-1 at entry 1", "at least entry 0"));
    EXPECT_TRUE(with(0, 3, 7, "7 at entry 2", "the number of rows, 8"));
    EXPECT_TRUE(with(0, 3, 9, "9 at entry 2", "the number of rows, 8"));
    std::int64_t two[] = {2};
    EXPECT_TRUE(refuses("m_indptr", "(2)", "(3)", [&](Tensors& t) { t.at(Role::m_indptr).shape = two; }));
    const std::array<std::int32_t, 3> other{0, 4, 8};
    EXPECT_TRUE(refuses("host_m_indptr", "other values", "a copy of m_indptr",
                        [&](Tensors& t) { t.operands.host_m_indptr = other.data(); }));
}

}  // namespace
}  // namespace moegemm::test
