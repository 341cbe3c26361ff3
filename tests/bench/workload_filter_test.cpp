#include <string>

#include <gtest/gtest.h>

#include "bench/workload.hpp"
#include "bench/workload_filter.hpp"
#include "op/expect_error.hpp"

namespace moegemm::bench {
namespace {

using test::throws_error;

std::vector<Case> cases() {
    return parse_workload_json(R"({"moe_quant_group_gemm": [
        {"num_tokens": [1, 64, 128], "ep_size": 4, "note": ["1", "x"],
         "dtype.w_dtype.compute_dtype": [["int8", "int8", "int8"], ["mxfloat8", "mxfp8", "mxfloat8_e4m3"]]},
        {"num_tokens": [64], "dtype.w_dtype": [["int8", "int8"], ["no", "such"]]}]})",
                               "w.json")
        .cases;
}

std::size_t left(const std::string& filter, const std::string& variant_names = "") {
    std::vector<Case> all = cases();
    std::vector<Filter> filters;
    if (!filter.empty()) {
        parse_filter(filter, filters);
    }
    select_cases(all, filters, variant_names.empty() ? std::vector<Variant>{} : parse_variants(variant_names));
    return all.size();
}

TEST(WorkloadFilter, KeepsWhatEveryFilterWants) {
    EXPECT_EQ(left(""), 14U);
    EXPECT_EQ(left("num_tokens=64"), 6U);
    EXPECT_EQ(left("num_tokens=1|64"), 10U);
    EXPECT_EQ(left("num_tokens=1|64,note=x"), 4U);
    EXPECT_EQ(left("num_tokens=5"), 0U);
}

TEST(WorkloadFilter, ComparesAfterConversion) {
    EXPECT_EQ(left("note=1"), 6U);  // the file has the text "1"
    EXPECT_EQ(left("num_tokens=64.0"), 6U);
}

TEST(WorkloadFilter, KnowsTheOpsDefaults) {
    EXPECT_EQ(left("ep_size=1"), 2U);
    EXPECT_EQ(left("dst_dtype=bfloat16"), 14U);
    EXPECT_EQ(left("dst_dtype=float16"), 0U);
}

TEST(WorkloadFilter, ResolvesVariants) {
    EXPECT_EQ(left("", "int8"), 7U);  // compute_dtype is int8 where it is left out
    EXPECT_EQ(left("", "mxfp8"), 6U);
    EXPECT_EQ(left("num_tokens=64", "int8,mxfp8"), 5U);
    EXPECT_EQ(left("", "bf16"), 0U);
}

TEST(WorkloadFilter, FaultsSayWhatIsAllowed) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "--filter", "tokens", "num_tokens, ep_size, note",
                             [] { (void)left("tokens=1"); }));
    for (const char* bad : {"num_tokens", "num_tokens=", "=1", "num_tokens=1,,"}) {
        EXPECT_THROW((void)left(bad), Error) << bad;
    }
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "--variant", "int4", "bf16, int8, fp8",
                             [] { (void)left("", "int8,int4"); }));
}

}  // namespace
}  // namespace moegemm::bench
