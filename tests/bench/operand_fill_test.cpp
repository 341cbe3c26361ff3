#include "bench/operand_fill.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include <moegemm/reference.hpp>

#include "bench/case_of.hpp"
#include "bench/generated_rows.hpp"
#include "op/random/operand_codes.hpp"

namespace moegemm::bench {
namespace {

using test::CaseWords;
using test::problem_of;

/// Operands in memory of their own, filled.
struct Filled {
    Filled(const Problem& problem, std::uint64_t seed, int threads) {
        for (const TensorSpec& spec : tensor_specs(problem.spec(), problem.rows())) {
            std::vector<std::uint8_t>& bytes = memory[spec.role];
            bytes.assign(static_cast<std::size_t>(spec.bytes) + 64, 0xEE);  // 64 bytes of guard
            operands[spec.role] = Tensor(bytes.data(), spec.dtype, spec.shape);
        }
        ThreadTeam team(threads);
        fill_operands(problem, seed, operands, team);
    }
    std::map<Role, std::vector<std::uint8_t>> memory;
    Operands operands;
};

constexpr CaseWords uneven(Variant variant) {
    return {.variant = variant, .tokens = 301, .experts = 5, .n = 133, .k = 288, .dst = "bfloat16", .layout = {}};
}

TEST(OperandFill, IsTheSameForAnyNumberOfThreads) {
    for (const VariantInfo& row : variants) {
        const Problem problem = problem_of(uneven(row.id), "zipf:1", 5);
        const Filled one(problem, 9, 1);
        for (const int threads : {2, 3, 7}) {
            EXPECT_EQ(one.memory, Filled(problem, 9, threads).memory) << row.name << ", " << threads;
        }
        EXPECT_NE(one.memory, Filled(problem, 10, 1).memory) << row.name;
    }
}

TEST(OperandFill, IsWhatGeneratedRowsComputeAgain) {
    for (const VariantInfo& row : variants) {
        for (const ScaleLayout layout : row.layouts) {
            CaseWords words = uneven(row.id);
            words.layout = layout == ScaleLayout::none ? "" : to_string(layout);
            const Problem problem = problem_of(words, "zipf:1", 5);
            const Filled filled(problem, 9, 2);
            const HostOperandRows stored(problem.spec(), filled.operands, problem.m_indptr());
            EXPECT_EQ(reference(problem, stored), reference(problem, GeneratedRows(problem, 9))) << row.name;
        }
    }
}

TEST(OperandFill, WritesEveryInputAndNothingElse) {
    for (const VariantInfo& row : variants) {
        const Problem problem = problem_of(uneven(row.id), "uniform", 5);
        const Filled filled(problem, 9, 3);
        for (const auto& [role, bytes] : filled.memory) {
            for (std::size_t i = bytes.size() - 64; i < bytes.size(); ++i) {
                ASSERT_EQ(bytes[i], 0xEE) << row.name << ", tensor " << static_cast<int>(role);
            }
            const std::set<std::uint8_t> different(bytes.begin(), bytes.end() - 64);
            if (role == Role::y) {
                EXPECT_EQ(different, std::set<std::uint8_t>{0xEE}) << row.name;
            } else {
                EXPECT_GT(different.size(), 3U) << row.name << ", tensor " << static_cast<int>(role);
            }
        }
        EXPECT_EQ(std::memcmp(filled.memory.at(Role::m_indptr).data(), problem.m_indptr().data(),
                              problem.m_indptr().size_bytes()),
                  0);
    }
}

// The layouts differ in where a scale lies, not in what it is.
TEST(OperandFill, GivesTheSameNumbersInEveryScaleLayout) {
    for (const VariantInfo& row : variants) {
        std::vector<double> first;
        for (const ScaleLayout layout : row.layouts) {
            if (layout == ScaleLayout::none) {
                continue;
            }
            CaseWords words = uneven(row.id);
            words.layout = to_string(layout);
            const Problem problem = problem_of(words, "zipf:1", 5);
            const Filled filled(problem, 9, 2);
            const HostOperandRows rows(problem.spec(), filled.operands, problem.m_indptr());
            const std::vector<double> y = reference(problem, rows);
            if (first.empty()) {
                first = y;
            }
            EXPECT_EQ(first, y) << row.name << ", " << to_string(layout);
        }
    }
}

TEST(OperandFill, StoresTheCodeOfTheLogicalIndex) {
    CaseWords words = uneven(Variant::mxfp8);
    const Problem problem = problem_of(words, "uniform", 5);
    const Filled filled(problem, 9, 2);
    const OperandGenerator a = make_operand_generator(problem.spec(), Role::a, 9);
    for (const std::int64_t index : {std::int64_t{0}, std::int64_t{7}, std::int64_t{8}, std::int64_t{12345}}) {
        EXPECT_EQ(filled.operands.a.as<std::uint8_t>()[index], a.code(static_cast<std::uint64_t>(index)));
    }
    const OperandGenerator scale = make_operand_generator(problem.spec(), Role::w_scale, 9);
    const std::int64_t columns = problem.spec().scale_columns();
    const std::int64_t stored =
        scales::w_scale_index(ScaleLayout::swizzled_128x4, 3, 131, 5, problem.spec().n, columns);
    EXPECT_EQ(filled.operands.w_scale.as<std::uint8_t>()[stored],
              scale.code(static_cast<std::uint64_t>((3 * problem.spec().n + 131) * columns + 5)));
}

TEST(OperandFill, PaddingOfScalesIsZero) {
    const Problem problem = problem_of(uneven(Variant::nvfp4), "uniform", 5);
    const Filled filled(problem, 9, 2);
    const GemmSpec& spec = problem.spec();
    std::set<std::int64_t> used;
    for (std::int64_t e = 0; e < spec.experts; ++e) {
        for (std::int64_t n = 0; n < spec.n; ++n) {
            for (std::int64_t c = 0; c < spec.scale_columns(); ++c) {
                used.insert(scales::w_scale_index(spec.scale_layout, e, n, c, spec.n, spec.scale_columns()));
            }
        }
    }
    std::int64_t padding = 0;
    for (std::int64_t i = 0; i < filled.operands.w_scale.bytes(); ++i) {
        const std::uint8_t byte = filled.operands.w_scale.as<std::uint8_t>()[i];
        if (used.count(i) == 0) {
            ++padding;
            ASSERT_EQ(byte, 0) << i;
        } else {
            ASSERT_NE(byte, 0) << i;
        }
    }
    EXPECT_GT(padding, 0);
}

TEST(OperandFill, GivesResultsOfAboutTheSquareRootOfK) {
    for (const VariantInfo& row : variants) {
        const Problem problem = problem_of(uneven(row.id));
        const Filled filled(problem, 1, 2);
        const HostOperandRows rows(problem.spec(), filled.operands, problem.m_indptr());
        double squares = 0;
        const std::vector<double> y = reference(problem, rows);
        for (const double value : y) {
            squares += value * value;
        }
        const double size = std::sqrt(squares / static_cast<double>(y.size()));
        EXPECT_GT(size, 0.05 * std::sqrt(288.0)) << row.name;
        EXPECT_LT(size, 20 * std::sqrt(288.0)) << row.name;
    }
}

}  // namespace
}  // namespace moegemm::bench
