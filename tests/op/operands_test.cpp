#include <vector>

#include <gtest/gtest.h>

#include <moegemm/tensor.hpp>

#include "op/expect_error.hpp"
#include "op/host_case.hpp"

namespace moegemm {
namespace {

using test::HostCase;
using test::spec_of;
using test::throws_error;

constexpr DLDevice cpu{kDLCPU, 0};
constexpr DLDevice cuda{kDLCUDA, 0};

Problem small_problem(Variant variant) { return Problem::from(spec_of(variant, 3, 24, 96), {0, 5, 5, 12}); }

/// Claims that all tensors live on a GPU: checks must not read them then.
void move_to_cuda(Operands& operands) {
    for (int i = 0; i < role_count; ++i) {
        Tensor& tensor = operands[static_cast<Role>(i)];
        if (tensor.defined()) {
            tensor = Tensor(tensor.data(), tensor.dtype(), tensor.shape(), cuda);
        }
    }
}

/// One case, spoilt by each test in its own way.
class OperandsBadInput : public testing::Test {
protected:
    /// Whether checking says this of the tensor, and y stays as it was.
    [[nodiscard]] testing::AssertionResult refused(HostCase& host, std::string_view tensor, std::string_view value,
                                                   std::string_view allowed, DLDevice device = cpu) {
        const auto result = throws_error(ErrorCode::invalid_argument, tensor, value, allowed,
                                         [&] { check_operands(host.spec(), host.operands(), device); });
        if (!host.y_is_untouched()) {
            return testing::AssertionFailure() << "y was written";
        }
        return result;
    }

    HostCase int8_{small_problem(Variant::int8), 1};
    HostCase mxfp4_{small_problem(Variant::mxfp4), 2};
    HostCase nvfp4_{small_problem(Variant::nvfp4), 3};
};

TEST(Operands, EveryVariantsOwnTensorsAreAccepted) {
    for (const VariantInfo& row : variants) {
        HostCase host(small_problem(row.id), 7);
        EXPECT_NO_THROW(check_operands(host.spec(), host.operands(), cpu)) << row.name;
        const Operands& operands = host.operands();
        EXPECT_EQ(&operands[Role::a], &operands.a);
        EXPECT_EQ(&operands[Role::w_scale], &operands.w_scale);
        EXPECT_EQ(&operands[Role::y], &operands.y);
    }
}

TEST(Operands, FewerRowsThanThePlansAreAccepted) {
    HostCase host(small_problem(Variant::mxfp8), 7);
    GemmSpec spec = host.spec();
    spec.max_rows = 100;
    EXPECT_NO_THROW(check_operands(spec, host.operands(), cpu));
}

TEST(Operands, BytesMayBeCalledUint8) {
    HostCase host(small_problem(Variant::mxfp4), 7);
    Operands& operands = host.operands();
    for (const Role role : {Role::a, Role::w, Role::a_scale, Role::w_scale}) {
        const Tensor tensor = operands[role];
        operands[role] = Tensor(tensor.data(), DType::u8, tensor.shape());
    }
    EXPECT_NO_THROW(check_operands(host.spec(), operands, cpu));
}

TEST(Operands, PackedWeightsStandForWeights) {
    HostCase host(small_problem(Variant::mxfp4), 7);
    std::vector<std::uint8_t> packed(64);
    host.operands().w = {};
    host.operands().w_scale = {};
    host.operands().packed_w = Tensor(packed.data(), DType::u8, {64});
    EXPECT_NO_THROW(check_operands(host.spec(), host.operands(), cpu));
}

TEST(Operands, NoRowsNeedNoMemory) {
    HostCase host(Problem::from(spec_of(Variant::int8, 2, 4, 8), {0, 0, 0}), 7);
    for (const Role role : {Role::a, Role::a_scale, Role::y}) {
        const Tensor tensor = host.operands()[role];
        host.operands()[role] = Tensor(nullptr, tensor.dtype(), tensor.shape());
    }
    EXPECT_NO_THROW(check_operands(host.spec(), host.operands(), cpu));
}

TEST_F(OperandsBadInput, NoTokens) {
    int8_.operands().a = {};
    EXPECT_TRUE(refused(int8_, "scatter_tokens", "absent", "i8 (R, 96)"));
}

TEST_F(OperandsBadInput, NoWeights) {
    int8_.operands().w = {};
    EXPECT_TRUE(refused(int8_, "experts_weight", "absent", "i8 (3, 24, 96)"));
}

TEST_F(OperandsBadInput, NoTokenScale) {
    int8_.operands().a_scale = {};
    EXPECT_TRUE(refused(int8_, "per_token_scale", "absent", "f32 (12)"));
}

TEST_F(OperandsBadInput, NoChannelScale) {
    int8_.operands().w_scale = {};
    EXPECT_TRUE(refused(int8_, "experts_scale", "absent", "f32 (3, 24)"));
}

TEST_F(OperandsBadInput, NoBlockScale) {
    mxfp4_.operands().w_scale = {};
    EXPECT_TRUE(refused(mxfp4_, "b_scale", "absent", "ue8m0 (3, 128, 4)"));
}

TEST_F(OperandsBadInput, NoAlpha) {
    nvfp4_.operands().alpha = {};
    EXPECT_TRUE(refused(nvfp4_, "alpha", "absent", "f32 (3)"));
}

TEST_F(OperandsBadInput, NoRowOffsets) {
    int8_.operands().m_indptr = {};
    EXPECT_TRUE(refused(int8_, "m_indptr", "absent", "i32 (4)"));
}

TEST_F(OperandsBadInput, NoOutput) {
    int8_.operands().y = {};
    EXPECT_TRUE(refused(int8_, "y", "absent", "f32 (12, 24)"));
}

TEST_F(OperandsBadInput, AlphaThatWasNotPlanned) {
    float alpha = 2.0F;
    int8_.operands().alpha = Tensor(&alpha, DType::f32, {1});
    EXPECT_TRUE(refused(int8_, "alpha", "given", "absent"));
}

TEST_F(OperandsBadInput, ScaleThatTheVariantDoesNotHave) {
    HostCase a16(small_problem(Variant::mxfp4_a16), 4);
    a16.operands().a_scale = mxfp4_.operands().a_scale;
    EXPECT_TRUE(refused(a16, "a_scale", "given", "absent: mxfp4_a16"));
}

TEST_F(OperandsBadInput, RankOfTokens) {
    int8_.operands().a = Tensor(int8_.operands().a.data(), DType::i8, {12 * 96});
    EXPECT_TRUE(refused(int8_, "scatter_tokens", "shape (1152)", "shape (R, 96)"));
}

TEST_F(OperandsBadInput, DepthOfTokens) {
    int8_.operands().a = Tensor(int8_.operands().a.data(), DType::i8, {12, 95});
    EXPECT_TRUE(refused(int8_, "scatter_tokens", "shape (12, 95)", "shape (12, 96)"));
}

TEST_F(OperandsBadInput, MoreRowsThanPlanned) {
    int8_.operands().a = Tensor(int8_.operands().a.data(), DType::i8, {13, 96});
    EXPECT_TRUE(refused(int8_, "scatter_tokens", "13 rows", "max_rows, 12"));
}

TEST_F(OperandsBadInput, FewerOutputRowsThanTokens) {
    int8_.operands().y = Tensor(int8_.operands().y.data(), DType::f32, {11, 24});
    EXPECT_TRUE(refused(int8_, "y", "shape (11, 24)", "shape (12, 24)"));
}

TEST_F(OperandsBadInput, UnpackedShapeOfPackedWeights) {
    mxfp4_.operands().w = Tensor(mxfp4_.operands().w.data(), DType::e2m1x2, {3, 24, 96});
    EXPECT_TRUE(refused(mxfp4_, "experts_weight", "shape (3, 24, 96)", "shape (3, 24, 48)"));
}

TEST_F(OperandsBadInput, SwizzledScaleRowsOfAnotherCount) {
    mxfp4_.operands().a_scale = Tensor(mxfp4_.operands().a_scale.data(), DType::ue8m0, {128, 4});
    EXPECT_TRUE(refused(mxfp4_, "a_scale", "shape (128, 4)", "shape (384, 4)"));
}

TEST_F(OperandsBadInput, SwizzledScaleShapeOfTilesInsteadOfRows) {
    mxfp4_.operands().w_scale = Tensor(mxfp4_.operands().w_scale.data(), DType::ue8m0, {3, 1, 4});
    EXPECT_TRUE(refused(mxfp4_, "b_scale", "shape (3, 1, 4)", "shape (3, 128, 4)"));
}

TEST_F(OperandsBadInput, ElementTypeOfTokens) {
    int8_.operands().a = Tensor(int8_.operands().a.data(), DType::u8, {12, 96});
    EXPECT_TRUE(refused(int8_, "scatter_tokens", "u8", "i8"));
}

TEST_F(OperandsBadInput, ElementTypeOfTokensOfTheOtherFp8) {
    mxfp4_.operands().a = Tensor(mxfp4_.operands().a.data(), DType::e5m2, {12, 96});
    EXPECT_TRUE(refused(mxfp4_, "scatter_tokens", "e5m2", "e4m3"));
}

TEST_F(OperandsBadInput, ElementTypeOfOutput) {
    int8_.operands().y = Tensor(int8_.operands().y.data(), DType::bf16, {12, 24});
    EXPECT_TRUE(refused(int8_, "y", "bf16", "f32"));
}

TEST_F(OperandsBadInput, OneTensorOnAnotherDevice) {
    int8_.operands().w_scale = Tensor(int8_.operands().w_scale.data(), DType::f32, {3, 24}, cuda);
    EXPECT_TRUE(refused(int8_, "experts_scale", "device type 2, number 0", "device type 1"));
}

TEST_F(OperandsBadInput, PlanOfAnotherDevice) {
    EXPECT_TRUE(refused(int8_, "scatter_tokens", "device type 1", "device type 2", cuda));
}

TEST_F(OperandsBadInput, NumberOfTheDevice) {
    move_to_cuda(int8_.operands());
    Tensor& weights = int8_.operands().w;
    weights = Tensor(weights.data(), weights.dtype(), weights.shape(), {kDLCUDA, 1});
    EXPECT_TRUE(refused(int8_, "experts_weight", "number 1", "number 0", cuda));
}

TEST_F(OperandsBadInput, NullTokens) {
    int8_.operands().a = Tensor(nullptr, DType::i8, {12, 96});
    EXPECT_TRUE(refused(int8_, "scatter_tokens", "null", "1152 elements"));
}

TEST_F(OperandsBadInput, MisalignedScale) {
    auto* const data = int8_.operands().a_scale.as<std::uint8_t>();
    int8_.operands().a_scale = Tensor(data + 2, DType::f32, {12});
    EXPECT_TRUE(refused(int8_, "per_token_scale", "address", "multiple of its element's 4 bytes"));
}

TEST_F(OperandsBadInput, MisalignedOutput) {
    auto* const data = int8_.operands().y.as<std::uint8_t>();
    int8_.operands().y = Tensor(data + 1, DType::f32, {12, 24});
    EXPECT_TRUE(refused(int8_, "y", "address", "multiple of its element's 4 bytes"));
}

TEST_F(OperandsBadInput, RowOffsetsOfAnotherLength) {
    int8_.operands().m_indptr = Tensor(int8_.operands().m_indptr.data(), DType::i32, {3});
    EXPECT_TRUE(refused(int8_, "m_indptr", "shape (3)", "shape (4)"));
}

TEST_F(OperandsBadInput, RowOffsetsNotFromZero) {
    int8_.operands().m_indptr.as<std::int32_t>()[0] = 2;
    EXPECT_TRUE(refused(int8_, "m_indptr", "2 at entry 0", "0 at entry 0"));
}

TEST_F(OperandsBadInput, RowOffsetsDecreasing) {
    int8_.operands().m_indptr.as<std::int32_t>()[2] = 4;
    EXPECT_TRUE(refused(int8_, "m_indptr", "4 at entry 2", "at least entry 1, which is 5"));
}

TEST_F(OperandsBadInput, RowOffsetsBeyondTheRows) {
    int8_.operands().m_indptr.as<std::int32_t>()[3] = 13;
    EXPECT_TRUE(refused(int8_, "m_indptr", "13 at entry 3", "the number of rows, 12"));
}

TEST_F(OperandsBadInput, HostCopyThatDiffers) {
    const std::vector<std::int32_t> copy{0, 5, 6, 12};
    int8_.operands().host_m_indptr = copy.data();
    EXPECT_TRUE(refused(int8_, "host_m_indptr", "other values", "a copy of m_indptr"));
}

TEST_F(OperandsBadInput, HostCopyOfADevicesOffsets) {
    move_to_cuda(int8_.operands());
    const std::vector<std::int32_t> copy{0, 5, 4, 12};
    int8_.operands().host_m_indptr = copy.data();
    EXPECT_TRUE(refused(int8_, "m_indptr", "4 at entry 2", "at least entry 1", cuda));
}

TEST_F(OperandsBadInput, OutputOverTokens) {
    HostCase bf16(Problem::from(spec_of(Variant::bf16, 1, 48, 96), {0, 12}), 5);
    bf16.operands().y = Tensor(bf16.operands().a.data(), DType::f32, {12, 48});
    EXPECT_TRUE(refused(bf16, "y", "overlaps scatter_tokens", "apart"));
}

TEST_F(OperandsBadInput, OutputOverTheEndOfWeights) {
    auto* const weights = int8_.operands().w.as<std::uint8_t>();
    int8_.operands().y = Tensor(weights + 3 * 24 * 96 - 4, DType::f32, {12, 24});
    EXPECT_TRUE(refused(int8_, "y", "overlaps experts_weight", "apart"));
}

TEST_F(OperandsBadInput, WorkspaceOverOutput) {
    int8_.operands().workspace = Tensor(int8_.operands().y.data(), DType::u8, {16});
    EXPECT_TRUE(refused(int8_, "y", "overlaps workspace", "apart"));
}

TEST_F(OperandsBadInput, WorkspaceOverAnInput) {
    int8_.operands().workspace = Tensor(int8_.operands().w_scale.data(), DType::u8, {16});
    EXPECT_TRUE(refused(int8_, "workspace", "overlaps experts_scale", "apart"));
}

TEST_F(OperandsBadInput, WorkspaceThatIsNoBytes) {
    std::vector<float> memory(16);
    int8_.operands().workspace = Tensor(memory.data(), DType::f32, {16});
    EXPECT_TRUE(refused(int8_, "workspace", "f32 (16)", "u8 of one dimension"));
}

TEST_F(OperandsBadInput, PackedWeightsThatAreNoBytes) {
    std::vector<std::uint8_t> memory(16);
    int8_.operands().packed_w = Tensor(memory.data(), DType::u8, {4, 4});
    EXPECT_TRUE(refused(int8_, "packed_w", "u8 (4, 4)", "u8 of one dimension"));
}

TEST_F(OperandsBadInput, PackedWeightsOfNull) {
    int8_.operands().packed_w = Tensor(nullptr, DType::u8, {16});
    EXPECT_TRUE(refused(int8_, "packed_w", "null", "16 elements"));
}

}  // namespace
}  // namespace moegemm
