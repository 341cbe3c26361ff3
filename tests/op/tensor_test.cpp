#include <moegemm/tensor.hpp>

#include <array>

#include <gtest/gtest.h>

#include "op/expect_error.hpp"
#include "op/host_case.hpp"

namespace moegemm {
namespace {

using test::spec_of;
using test::throws_error;

constexpr auto invalid = ErrorCode::invalid_argument;

/// A DLPack tensor over memory of its own.
struct Dl {
    std::array<float, 64> memory{};
    std::array<std::int64_t, 4> shape{2, 3, 4, 1};
    std::array<std::int64_t, 4> strides{12, 4, 1, 1};
    DLTensor tensor{};

    Dl() {
        tensor.data = memory.data();
        tensor.device = {kDLCPU, 0};
        tensor.ndim = 3;
        tensor.dtype = {kDLFloat, 32, 1};
        tensor.shape = shape.data();
    }
    Dl(const Dl&) = delete;
    Dl& operator=(const Dl&) = delete;
};

TEST(Tensor, IsAView) {
    std::array<std::uint16_t, 6> memory{};
    const Tensor tensor(memory.data(), DType::bf16, {2, 3});
    EXPECT_TRUE(tensor.defined());
    EXPECT_EQ(tensor.as<std::uint16_t>(), memory.data());
    EXPECT_EQ(tensor.elements(), 6);
    EXPECT_EQ(tensor.bytes(), 12);
    EXPECT_EQ(tensor.shape().size(), 2U);
    EXPECT_FALSE(Tensor().defined());
    EXPECT_EQ(Tensor().elements(), 0);
    EXPECT_EQ(Tensor(nullptr, DType::f32, {0, 7}).elements(), 0);
}

TEST(Tensor, GoesThroughDlPackAndBack) {
    std::array<std::uint8_t, 24> memory{};
    const Tensor tensor(memory.data(), DType::e2m1x2, {2, 3, 4});
    const DLTensor dl = tensor.to_dl();
    EXPECT_EQ(dl.dtype.code, dl_float4_e2m1fn);
    EXPECT_EQ(dl.dtype.lanes, 2);
    EXPECT_EQ(dl.strides, nullptr);
    const Tensor back = Tensor::from_dl(dl, DType::e2m1x2, "experts_weight");
    EXPECT_EQ(back.data(), tensor.data());
    EXPECT_EQ(back.dtype(), DType::e2m1x2);
    EXPECT_TRUE(std::ranges::equal(back.shape(), tensor.shape()));
}

TEST(Tensor, TakesByteOffsetAndCompactStrides) {
    Dl dl;
    dl.tensor.byte_offset = 8;
    dl.tensor.strides = dl.strides.data();
    const Tensor tensor = Tensor::from_dl(dl.tensor, DType::f32, "y");
    EXPECT_EQ(tensor.as<float>(), dl.memory.data() + 2);
    EXPECT_EQ(tensor.elements(), 24);
}

TEST(Tensor, StridesOfOneEntryAndOfNothingMayBeAny) {
    Dl dl;
    dl.shape = {1, 3, 4, 1};
    dl.strides = {999, 4, 1, 1};
    dl.tensor.strides = dl.strides.data();
    EXPECT_EQ(Tensor::from_dl(dl.tensor, DType::f32, "y").elements(), 12);
    dl.shape = {5, 0, 4, 1};
    dl.strides = {7, 7, 7, 7};
    EXPECT_EQ(Tensor::from_dl(dl.tensor, DType::f32, "y").elements(), 0);
}

TEST(Tensor, OneByteFormatsComeAsUint8) {
    Dl dl;
    dl.tensor.dtype = {kDLUInt, 8, 1};
    for (const DType dtype : {DType::e4m3, DType::e5m2, DType::e2m1x2, DType::ue8m0, DType::ue4m3, DType::u8}) {
        EXPECT_EQ(Tensor::from_dl(dl.tensor, dtype, "a_scale").dtype(), dtype);
    }
}

TEST(TensorBadInput, FourDimensions) {
    EXPECT_TRUE(throws_error(invalid, "shape", "(1, 2, 3, 4)", "at most 3 dimensions", [] {
        (void)Tensor(nullptr, DType::f32, {1, 2, 3, 4});
    }));
}

TEST(TensorBadInput, NegativeDimension) {
    EXPECT_TRUE(throws_error(invalid, "shape", "(2, -1)", "no negative dimension", [] {
        (void)Tensor(nullptr, DType::f32, {2, -1});
    }));
}

TEST(TensorBadInput, BytesOverflow) {
    EXPECT_TRUE(throws_error(ErrorCode::overflow, "shape", "*", "2^63", [] {
        (void)Tensor(nullptr, DType::f32, {std::int64_t{1} << 31, std::int64_t{1} << 30});
    }));
}

TEST(TensorBadInput, DlPackType) {
    Dl dl;
    EXPECT_TRUE(throws_error(invalid, "scatter_tokens", "code 2, 32 bits, 1 lanes", "bf16",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::bf16, "scatter_tokens"); }));
}

TEST(TensorBadInput, SignedBytesForAFloatFormat) {
    Dl dl;
    dl.tensor.dtype = {kDLInt, 8, 1};
    EXPECT_TRUE(throws_error(invalid, "b_scale", "code 0, 8 bits", "ue8m0 or uint8",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::ue8m0, "b_scale"); }));
}

TEST(TensorBadInput, Lanes) {
    Dl dl;
    dl.tensor.dtype.lanes = 4;
    EXPECT_TRUE(throws_error(invalid, "alpha", "4 lanes", "f32",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::f32, "alpha"); }));
}

TEST(TensorBadInput, DlPackRank) {
    Dl dl;
    dl.tensor.ndim = 4;
    EXPECT_TRUE(throws_error(invalid, "y", "4 dimensions", "0 … 3",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::f32, "y"); }));
    dl.tensor.ndim = -1;
    EXPECT_TRUE(throws_error(invalid, "y", "-1 dimensions", "0 … 3",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::f32, "y"); }));
}

TEST(TensorBadInput, NullShape) {
    Dl dl;
    dl.tensor.shape = nullptr;
    EXPECT_TRUE(throws_error(invalid, "y", "null shape", "3 entries",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::f32, "y"); }));
}

TEST(TensorBadInput, NegativeDlPackDimension) {
    Dl dl;
    dl.shape[1] = -3;
    EXPECT_TRUE(throws_error(invalid, "y", "(2, -3, 4)", "no negative dimension",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::f32, "y"); }));
}

TEST(TensorBadInput, DlPackBytesOverflow) {
    Dl dl;
    dl.shape = {std::int64_t{1} << 40, std::int64_t{1} << 40, 1, 1};
    EXPECT_TRUE(throws_error(ErrorCode::overflow, "y", "(1099511627776, 1099511627776, 1)", "2^63",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::f32, "y"); }));
}

TEST(TensorBadInput, StridesWithGaps) {
    Dl dl;
    dl.strides = {16, 4, 1, 1};
    dl.tensor.strides = dl.strides.data();
    EXPECT_TRUE(throws_error(invalid, "y", "strides (16, 4, 1)", "compact",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::f32, "y"); }));
}

TEST(TensorBadInput, TransposedStrides) {
    Dl dl;
    dl.strides = {12, 1, 3, 1};
    dl.tensor.strides = dl.strides.data();
    EXPECT_TRUE(throws_error(invalid, "experts_weight", "strides (12, 1, 3)", "row-major",
                             [&] { (void)Tensor::from_dl(dl.tensor, DType::f32, "experts_weight"); }));
}

using Shape = std::vector<std::int64_t>;

Shape shape_of(const GemmSpec& spec, std::int64_t rows, std::string_view name) {
    for (const TensorSpec& tensor : tensor_specs(spec, rows)) {
        if (tensor.name == name) {
            std::int64_t bytes = info(tensor.dtype).bytes;
            for (const std::int64_t extent : tensor.shape) {
                bytes *= extent;
            }
            EXPECT_EQ(tensor.bytes, bytes);
            return tensor.shape;
        }
    }
    return {-1};
}

TEST(TensorSpecs, Plain) {
    const GemmSpec spec = spec_of(Variant::bf16, 3, 5, 7);
    EXPECT_EQ(tensor_specs(spec, 11).size(), 4U);
    EXPECT_EQ(shape_of(spec, 11, "scatter_tokens"), (Shape{11, 7}));
    EXPECT_EQ(shape_of(spec, 11, "experts_weight"), (Shape{3, 5, 7}));
    EXPECT_EQ(shape_of(spec, 11, "m_indptr"), (Shape{4}));
    EXPECT_EQ(shape_of(spec, 11, "y"), (Shape{11, 5}));
}

TEST(TensorSpecs, TokenAndChannelScales) {
    for (const Variant variant : {Variant::int8, Variant::fp8_token}) {
        const GemmSpec spec = spec_of(variant, 3, 5, 7);
        EXPECT_EQ(tensor_specs(spec, 11).size(), 6U);
        EXPECT_EQ(shape_of(spec, 11, "per_token_scale"), (Shape{11}));
        EXPECT_EQ(shape_of(spec, 11, "experts_scale"), (Shape{3, 5}));
    }
}

TEST(TensorSpecs, BlockScalesInBothOrders) {
    GemmSpec spec = spec_of(Variant::fp8_block, 3, 200, 300);
    EXPECT_EQ(shape_of(spec, 11, "a_scale"), (Shape{3, 11}));
    EXPECT_EQ(shape_of(spec, 11, "b_scale"), (Shape{3, 3, 2}));
    spec.scale_layout = ScaleLayout::k_major;
    EXPECT_EQ(shape_of(spec, 11, "a_scale"), (Shape{11, 3}));
    EXPECT_EQ(shape_of(spec, 11, "b_scale"), (Shape{3, 2, 3}));
}

TEST(TensorSpecs, GroupScalesInEveryLayout) {
    GemmSpec spec = spec_of(Variant::nvfp4, 3, 130, 80);
    EXPECT_EQ(shape_of(spec, 200, "scatter_tokens"), (Shape{200, 40}));
    EXPECT_EQ(shape_of(spec, 200, "a_scale"), (Shape{512, 8}));  // 128·⌊(200 + 3·127)/128⌋ rows
    EXPECT_EQ(shape_of(spec, 200, "b_scale"), (Shape{3, 256, 8}));
    EXPECT_EQ(shape_of(spec, 200, "alpha"), (Shape{3}));
    spec.scale_layout = ScaleLayout::swizzled_128x4_whole;
    EXPECT_EQ(shape_of(spec, 200, "a_scale"), (Shape{256, 8}));
    EXPECT_EQ(shape_of(spec, 200, "b_scale"), (Shape{3, 256, 8}));
    spec.scale_layout = ScaleLayout::linear;
    EXPECT_EQ(shape_of(spec, 200, "a_scale"), (Shape{200, 5}));
    EXPECT_EQ(shape_of(spec, 200, "b_scale"), (Shape{3, 130, 5}));
}

TEST(TensorSpecs, SixteenBitActivationsHaveNoScale) {
    for (const Variant variant : {Variant::mxfp4_a16, Variant::nvfp4_a16}) {
        const GemmSpec spec = spec_of(variant, 3, 130, 96);
        EXPECT_EQ(shape_of(spec, 200, "a_scale"), (Shape{-1}));
        EXPECT_EQ(shape_of(spec, 200, "scatter_tokens"), (Shape{200, 96}));
        EXPECT_EQ(shape_of(spec, 200, "experts_weight"), (Shape{3, 130, 48}));
    }
}

TEST(TensorSpecs, AlphaOnlyWhereGiven) {
    GemmSpec spec = spec_of(Variant::fp8, 3, 5, 7);
    EXPECT_EQ(shape_of(spec, 11, "alpha"), (Shape{1}));
    spec.has_alpha = false;
    EXPECT_EQ(shape_of(spec, 11, "alpha"), (Shape{-1}));
}

}  // namespace
}  // namespace moegemm
