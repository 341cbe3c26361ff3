#include "bench/verification.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

#include "bench/case_of.hpp"
#include "bench/guarded_buffer.hpp"
#include "bench/host_device.hpp"

namespace moegemm::bench {
namespace {

using test::CaseWords;
using test::problem_of;

/// A problem with its operands and a right output.
struct Solved {
    explicit Solved(const CaseWords& words, const std::string& routing = "zipf:1")
        : problem(problem_of(words, routing, 3)), device(2) {
        for (const TensorSpec& spec : tensor_specs(problem.spec(), problem.rows())) {
            memory.push_back(device.allocate(spec.bytes));
            operands[spec.role] = Tensor(memory.back().get(), spec.dtype, spec.shape);
        }
        device.fill(problem, 1, operands);
        rows = device.rows(problem, operands, 1);
        right = Registry::with_builtin().find("reference")->plan(problem.spec(), {});
        right->run(operands);
    }
    [[nodiscard]] std::byte* element(std::int64_t row, std::int64_t column) const {
        return operands.y.as<std::byte>() + (row * problem.spec().n + column) * info(problem.spec().dst).bytes;
    }
    Problem problem;
    HostDevice device;
    std::vector<std::shared_ptr<void>> memory;
    Operands operands;
    std::unique_ptr<OperandRows> rows;
    std::unique_ptr<Plan> right;
};

/// Large enough that a sample is not the whole: 700·640·64 products.
constexpr CaseWords large{
    .variant = Variant::bf16, .tokens = 700, .experts = 6, .n = 640, .k = 64, .dst = "bfloat16", .layout = {}};

TEST(ChooseSample, HasEveryExpertsEdges) {
    for (const std::int64_t n : {1, 2, 15, 17, 640, 5000}) {
        CaseWords words = large;
        words.n = n;
        const Problem problem = problem_of(words, "zipf:2", 3);
        const std::vector<SampledExpert> sample = choose_sample(problem, 1);
        EXPECT_EQ(static_cast<std::int64_t>(sample.size()), problem.experts_used());
        for (const SampledExpert& sampled : sample) {
            const std::int64_t first = problem.m_indptr()[static_cast<std::size_t>(sampled.expert)];
            EXPECT_EQ(sampled.rows.front(), first);
            EXPECT_EQ(sampled.rows.back(), first + problem.rows_of(sampled.expert) - 1);
            EXPECT_EQ(sampled.columns.front(), 0);
            EXPECT_EQ(sampled.columns.back(), n - 1);
            EXPECT_GE(static_cast<std::int64_t>(sampled.columns.size()), std::min<std::int64_t>(n, 16));
            EXPECT_TRUE(std::is_sorted(sampled.rows.begin(), sampled.rows.end()));
            EXPECT_EQ(std::set<std::int64_t>(sampled.columns.begin(), sampled.columns.end()).size(),
                      sampled.columns.size());
        }
    }
}

TEST(ChooseSample, LooksBesideBordersOfEveryTile) {
    const Problem problem = problem_of(large, "uniform", 3);
    std::set<std::int64_t> columns;
    for (const SampledExpert& sampled : choose_sample(problem, 1)) {
        columns.insert(sampled.columns.begin(), sampled.columns.end());
    }
    for (const std::int64_t tile : {8, 16, 32, 64, 128}) {
        for (const std::int64_t beside : {-1, 0, 1}) {
            EXPECT_TRUE(std::any_of(columns.begin(), columns.end(),
                                    [&](std::int64_t c) { return c > 1 && (c - beside) % tile == 0; }))
                << tile << ", " << beside;
        }
    }
}

TEST(ChooseSample, IsBoundedForManyExperts) {
    CaseWords words = large;
    words.experts = 350;
    std::size_t elements = 0;
    for (const SampledExpert& sampled : choose_sample(problem_of(words), 1)) {
        elements += sampled.rows.size() * sampled.columns.size();
    }
    EXPECT_LE(elements, 2U * 16U * 350U);
}

TEST(Verifier, TakesRightOutputsOfEveryVariantAndType) {
    for (const VariantInfo& row : variants) {
        for (const char* dst : {"bfloat16", "float16", "float32"}) {
            for (const std::int64_t n : {3, 70}) {
                CaseWords words{
                    .variant = row.id, .tokens = 60, .experts = 5, .n = n, .k = 96, .dst = dst, .layout = {}};
                Solved solved(words);
                for (const VerifyMode mode : {VerifyMode::sample, VerifyMode::full}) {
                    ThreadTeam team(3);
                    const Verifier verifier(solved.problem, *solved.rows, mode, 1, solved.device, team);
                    Verifier::poison(solved.device, solved.operands.y);
                    solved.right->run(solved.operands);
                    const OutputCheck found = verifier.check(solved.operands.y, Accumulation::fp32);
                    EXPECT_EQ(found.reason, "") << row.name << ", " << dst << ", N = " << n;
                    EXPECT_EQ(found.verification.checked, 60 * n);
                }
            }
        }
    }
}

/// Plants one wrong number at a time and wants each to be found.
void expect_found(VerifyMode mode, const Solved& solved,
                  const std::vector<std::pair<std::int64_t, std::int64_t>>& places) {
    ThreadTeam team(2);
    Solved& mutable_solved = const_cast<Solved&>(solved);
    const Verifier verifier(solved.problem, *solved.rows, mode, 1, mutable_solved.device, team);
    ASSERT_EQ(verifier.check(solved.operands.y, Accumulation::fp32).reason, "");
    for (const auto& [row, column] : places) {
        const std::uint16_t wrong = 0x42C8;  // 100 in bfloat16
        std::uint16_t right = 0;
        std::memcpy(&right, solved.element(row, column), 2);
        std::memcpy(solved.element(row, column), &wrong, 2);
        const OutputCheck found = verifier.check(solved.operands.y, Accumulation::fp32);
        EXPECT_NE(found.reason.find("column " + std::to_string(column) + ":"), std::string::npos)
            << row << ", " << column << ": " << found.reason;
        std::memcpy(solved.element(row, column), &right, 2);
    }
    EXPECT_EQ(verifier.check(solved.operands.y, Accumulation::fp32).reason, "");
}

TEST(Verifier, ASampleFindsOneWrongElementAtAnyCornerOfAnyExpert) {
    const Solved solved(large);
    std::vector<std::pair<std::int64_t, std::int64_t>> places;
    for (std::int64_t expert = 0; expert < solved.problem.spec().experts; ++expert) {
        const std::int64_t rows = solved.problem.rows_of(expert);
        const std::int64_t first = solved.problem.m_indptr()[static_cast<std::size_t>(expert)];
        if (rows > 0) {
            for (const std::int64_t row : {first, first + rows - 1}) {
                places.emplace_back(row, 0);
                places.emplace_back(row, solved.problem.spec().n - 1);
            }
        }
    }
    EXPECT_GE(places.size(), 12U);
    expect_found(VerifyMode::sample, solved, places);
}

TEST(Verifier, FullFindsOneWrongElementAnywhere) {
    const Solved solved(large);
    std::vector<std::pair<std::int64_t, std::int64_t>> places;
    for (std::int64_t i = 0; i < 20; ++i) {
        places.emplace_back((i * 37) % solved.problem.rows(), (i * 101) % solved.problem.spec().n);
    }
    expect_found(VerifyMode::full, solved, places);
}

TEST(Verifier, ASampleFindsAnyElementThatWasNotWritten) {
    const Solved solved(large);
    ThreadTeam team(2);
    HostDevice device(1);
    const Verifier verifier(solved.problem, *solved.rows, VerifyMode::sample, 1, device, team);
    EXPECT_LT(verifier.check(solved.operands.y, Accumulation::fp32).verification.checked,
              solved.problem.rows() * solved.problem.spec().n / 10);
    for (const auto& [row, column] : {std::pair{123, 321}, {0, 0}, {699, 639}, {350, 5}}) {
        std::uint16_t right = 0;
        std::memcpy(&right, solved.element(row, column), 2);
        std::memset(solved.element(row, column), 0xFF, 2);
        const std::string reason = verifier.check(solved.operands.y, Accumulation::fp32).reason;
        EXPECT_NE(reason.find("row " + std::to_string(row) + " "), std::string::npos) << reason;
        EXPECT_NE(reason.find("column " + std::to_string(column) + " was not written"), std::string::npos) << reason;
        std::memcpy(solved.element(row, column), &right, 2);
    }
}

TEST(Verifier, ANanThatIsRightIsNoPoison) {
    CaseWords words{
        .variant = Variant::bf16, .tokens = 8, .experts = 2, .n = 20, .k = 16, .dst = "float32", .layout = {}};
    Solved solved(words);
    solved.operands.a.as<std::uint16_t>()[3 * 16 + 5] = 0x7FC0;  // one NaN makes row 3 NaN
    Verifier::poison(solved.device, solved.operands.y);
    solved.right->run(solved.operands);
    std::memset(solved.element(3, 7), 0xFF, 4);
    ThreadTeam team(1);
    const Verifier verifier(solved.problem, *solved.rows, VerifyMode::sample, 1, solved.device, team);
    EXPECT_EQ(verifier.check(solved.operands.y, Accumulation::fp32).reason, "");
    std::memset(solved.element(4, 7), 0xFF, 4);
    EXPECT_NE(verifier.check(solved.operands.y, Accumulation::fp32).reason, "");
}

TEST(Verifier, NoRowsAreRight) {
    CaseWords words = large;
    words.tokens = 0;
    Solved solved(words, "balanced");
    ThreadTeam team(2);
    for (const VerifyMode mode : {VerifyMode::sample, VerifyMode::full, VerifyMode::off}) {
        const Verifier verifier(solved.problem, *solved.rows, mode, 1, solved.device, team);
        const OutputCheck found = verifier.check(solved.operands.y, Accumulation::fp32);
        EXPECT_EQ(found.reason, "");
        EXPECT_EQ(found.verification.checked, 0);
        EXPECT_EQ(found.verification.mode, mode);
    }
}

TEST(GuardedBuffer, NamesTheSideThatWasOverrun) {
    HostDevice device(1);
    const GuardedBuffer buffer(device, "y", 100);
    auto* const data = static_cast<std::uint8_t*>(buffer.data());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 4096, 0U);
    std::fill(data, data + 100, std::uint8_t{1});
    EXPECT_EQ(buffer.damage(), "");
    const std::uint8_t after = data[100];
    data[100] = 7;
    EXPECT_EQ(buffer.damage(), "y was written past its end, at byte 100 of 100");
    data[100] = after;
    data[-3] = 7;
    EXPECT_EQ(buffer.damage(), "y was written before its start, 3 bytes ahead");
}

}  // namespace
}  // namespace moegemm::bench
