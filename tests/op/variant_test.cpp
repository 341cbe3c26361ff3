#include <moegemm/variant.hpp>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "op/expect_error.hpp"

namespace moegemm {
namespace {

using test::throws_error;

constexpr std::string_view combination = "dtype,w_dtype,compute_dtype";

/// The contract's spellings, written down a second time.
const std::vector<std::string> e4m3_names{"fp8_e4m3", "float8_e4m3", "float8"};
const std::vector<std::string> e5m2_names{"fp8_e5m2", "float8_e5m2"};
const std::vector<std::string> mx8_names{"mxfp8", "mxfloat8", "mxfloat8_e4m3", "mxfloat8_e5m2"};
const std::vector<std::string> mx4_names{"mxfp4", "mxfloat4", "mxfloat4_e2m1"};

TypedVariant resolve(std::string_view dtype, std::string_view w_dtype, std::string_view compute_dtype) {
    return resolve_variant(dtype, w_dtype, compute_dtype, "bfloat16");
}

TEST(Variant, EveryRowIsFoundByItsCanonicalTypes) {
    for (const VariantInfo& row : variants) {
        const TypedVariant found = resolve(row.types[0], row.types[1], row.types[2]);
        EXPECT_EQ(found.variant, row.id) << row.name;
        EXPECT_EQ(found.a, row.a) << row.name;
        EXPECT_EQ(found.w, row.w) << row.name;
        EXPECT_EQ(find_variant(row.name), row.id);
        EXPECT_EQ(info(row.id).name, row.name);
    }
    EXPECT_FALSE(find_variant("mxfp6").has_value());
}

TEST(Variant, TheComputeNameDecidesAmongFp8) {
    std::vector<std::string> elements = e4m3_names;
    elements.insert(elements.end(), e5m2_names.begin(), e5m2_names.end());
    for (const std::string& a : elements) {
        for (const std::string& w : elements) {
            const DType a_type = a.find("e5m2") != std::string::npos ? DType::e5m2 : DType::e4m3;
            const DType w_type = w.find("e5m2") != std::string::npos ? DType::e5m2 : DType::e4m3;
            const auto expect = [&](std::string_view compute, Variant variant) {
                const TypedVariant found = resolve(a, w, compute);
                EXPECT_EQ(found.variant, variant) << a << ' ' << w << ' ' << compute;
                EXPECT_EQ(found.a, a_type) << a;
                EXPECT_EQ(found.w, w_type) << w;
            };
            expect("fp8", Variant::fp8);
            expect("fp8_block", Variant::fp8_block);
            for (const std::string& compute : elements) {
                expect(compute, Variant::fp8_token);
            }
        }
    }
}

TEST(Variant, Mx8NamesSelectTheElementOfEachSide) {
    for (const std::string& a : mx8_names) {
        for (const std::string& w : mx8_names) {
            const TypedVariant found = resolve(a, w, "mxfp8");
            EXPECT_EQ(found.variant, Variant::mxfp8);
            EXPECT_EQ(found.a, a == "mxfloat8_e5m2" ? DType::e5m2 : DType::e4m3);
            EXPECT_EQ(found.w, w == "mxfloat8_e5m2" ? DType::e5m2 : DType::e4m3);
        }
        const TypedVariant mixed = resolve(a, "mxfp4", "mxfp4");
        EXPECT_EQ(mixed.variant, Variant::mxfp4);
        EXPECT_EQ(mixed.a, a == "mxfloat8_e5m2" ? DType::e5m2 : DType::e4m3);
        EXPECT_EQ(mixed.w, DType::e2m1x2);
    }
}

TEST(Variant, Mx4TripleSpellingDecidesTheActivations) {
    const TypedVariant eight_bit = resolve("mxfp4", "mxfp4", "mxfp4");
    EXPECT_EQ(eight_bit.variant, Variant::mxfp4);
    EXPECT_EQ(eight_bit.a, DType::e4m3);
    for (const std::string name : {"mxfloat4", "mxfloat4_e2m1"}) {
        const TypedVariant four_bit = resolve(name, name, name);
        EXPECT_EQ(four_bit.variant, Variant::mxfp4_a4);
        EXPECT_EQ(four_bit.a, DType::e2m1x2);
    }
    EXPECT_EQ(resolve("mxfloat4", "mxfloat4_e2m1", "mxfloat4").variant, Variant::mxfp4_a4);
}

TEST(Variant, SixteenBitActivations) {
    for (const std::string& w : mx4_names) {
        EXPECT_EQ(resolve("bfloat16", w, "bfloat16").variant, Variant::mxfp4_a16);
    }
    EXPECT_EQ(resolve("bf16", "nvfp4", "bf16").variant, Variant::nvfp4_a16);
    EXPECT_EQ(resolve("bf16", "bfloat16", "bf16").variant, Variant::bf16);
}

TEST(Variant, DstTypesByEitherName) {
    EXPECT_EQ(resolve_variant("int8", "int8", "int8", "bfloat16").dst, DType::bf16);
    EXPECT_EQ(resolve_variant("int8", "int8", "int8", "float16").dst, DType::f16);
    EXPECT_EQ(resolve_variant("int8", "int8", "int8", "float32").dst, DType::f32);
    EXPECT_EQ(resolve_variant("int8", "int8", "int8", "f16").dst, DType::f16);
}

TEST(Variant, NoTripleOfNamesFitsTwoNamings) {
    for (NameSet a = 1; a <= names::nvfp4; a <<= 1) {
        for (NameSet w = 1; w <= names::nvfp4; w <<= 1) {
            for (NameSet compute = 1; compute <= names::nvfp4; compute <<= 1) {
                int fits = 0;
                for (const VariantInfo& row : variants) {
                    for (const Naming& naming : row.namings) {
                        fits += (naming.dtype & a) != 0 && (naming.w_dtype & w) != 0 &&
                                (naming.compute_dtype & compute) != 0;
                    }
                }
                EXPECT_LE(fits, 1) << a << ' ' << w << ' ' << compute;
            }
        }
    }
}

TEST(VariantBadInput, UnknownDtype) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "dtype", "float7", "bfloat16, bf16, int8, fp8_e4m3",
                             [] { (void)resolve("float7", "int8", "int8"); }));
}

TEST(VariantBadInput, EmptyDtype) {
    EXPECT_TRUE(
        throws_error(ErrorCode::invalid_argument, "dtype", "", "int8", [] { (void)resolve("", "int8", "int8"); }));
}

TEST(VariantBadInput, UnknownWeightDtype) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "w_dtype", "int4", "nvfp4",
                             [] { (void)resolve("int8", "int4", "int8"); }));
}

TEST(VariantBadInput, UnknownComputeDtype) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "compute_dtype", "tf32", "fp8, fp8_block",
                             [] { (void)resolve("int8", "int8", "tf32"); }));
}

TEST(VariantBadInput, ComputeOnlyNameAsDtype) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "dtype", "fp8_block", "fp8_e4m3",
                             [] { (void)resolve("fp8_block", "fp8_e4m3", "fp8_block"); }));
    // "fp8" must not be offered for dtype: the list reads "…, e5m2, mxfp8", with nothing between.
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "dtype", "fp8", "e5m2, mxfp8",
                             [] { (void)resolve("fp8", "fp8_e4m3", "fp8"); }));
}

TEST(VariantBadInput, UnknownDstDtype) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "dst_dtype", "int8", "one of bfloat16, float16, float32",
                             [] { (void)resolve_variant("int8", "int8", "int8", "int8"); }));
}

TEST(VariantBadInput, NamesThatTogetherNameNothing) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, combination, "int8,bfloat16,int8", "int8,int8,int8 (int8)",
                             [] { (void)resolve("int8", "bfloat16", "int8"); }));
}

TEST(VariantBadInput, MixedMx4Spellings) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, combination, "mxfp4,mxfloat4,mxfloat4",
                             "mxfloat4,mxfloat4,mxfloat4 (mxfp4_a4)",
                             [] { (void)resolve("mxfp4", "mxfloat4", "mxfloat4"); }));
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, combination, "mxfloat4,mxfp4,mxfp4",
                             "mxfp4,mxfp4,mxfp4 (mxfp4)", [] { (void)resolve("mxfloat4", "mxfp4", "mxfp4"); }));
}

TEST(VariantBadInput, MixedBlockFormats) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, combination, "nvfp4,mxfp4,nvfp4", "nvfp4,nvfp4,nvfp4 (nvfp4)",
                             [] { (void)resolve("nvfp4", "mxfp4", "nvfp4"); }));
}

TEST(VariantBadInput, FourBitComputeOfEightBitOperands) {
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, combination, "mxfp8,mxfp8,mxfp4", "(mxfp8)",
                             [] { (void)resolve("mxfp8", "mxfp8", "mxfp4"); }));
}

}  // namespace
}  // namespace moegemm
