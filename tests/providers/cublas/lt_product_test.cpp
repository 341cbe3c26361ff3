// cuBLASLt's grouped product over a double of the library, which reads what would lie on the device.
#include <array>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include <moegemm/error.hpp>

#include "op/expect_error.hpp"
#include "providers/cpu/call.hpp"
#include "providers/cublas/lt_product.hpp"
#include "providers/cublas/workspace.hpp"
#include "scoped_variable.hpp"

namespace moegemm::test {
namespace {

std::shared_ptr<const cublas::Library> library() {
    const ScopedVariable use("MOEGEMM_CUBLAS", std::string(MOEGEMM_TEST_FAKE_CUBLAS) + "/libcublas_13_6.so");
    return cublas::Library::load();
}

/// A bf16 problem of rows that are multiples of 16 bytes; a third of the experts is empty.
Problem bf16_problem(std::mt19937_64& random) {
    const auto below = [&](std::int64_t limit) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
    };
    GemmSpec spec;
    spec.experts = 1 + below(9);
    spec.n = 8 * (1 + below(12));
    spec.k = 8 * (1 + below(20));
    std::vector<std::int32_t> m_indptr{0};
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        m_indptr.push_back(m_indptr.back() + static_cast<std::int32_t>(below(3) == 0 ? 0 : 1 + below(20)));
    }
    return Problem::from(spec, m_indptr);
}

/// y's bytes by the product, its arrays at the end of an allocation of their own size.
std::vector<std::uint8_t> run(cublas::LtProduct& product, const Call& call) {
    const GemmSpec& spec = call.spec();
    Operands operands = call.operands();
    const ExactBuffer y(static_cast<std::size_t>(operands.y.bytes()), 0xFF);
    operands.y = Tensor(y.data(), operands.y.dtype(), operands.y.shape());
    const ExactBuffer arrays(cublas::DeviceGroups::bytes(spec.experts), 0xFF);
    const auto groups = cublas::DeviceGroups::in(reinterpret_cast<std::byte*>(arrays.data()), spec.experts);
    const cublas::FillGroups fill{cublas::Bases::of(spec, operands), operands.m_indptr.as<const std::int32_t>(),
                                  static_cast<std::int32_t>(spec.n), static_cast<std::int32_t>(spec.k), groups};
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        fill(expert);
    }
    product.run(groups, nullptr, cublas::library_bytes, nullptr);
    EXPECT_TRUE(y.guard_intact());
    EXPECT_TRUE(arrays.guard_intact());
    return {y.data(), y.data() + y.size()};
}

TEST(CublasLt, RandomProblemsConform) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 200; ++i) {
        const Call call(bf16_problem(random), random);
        const Call::Expected expected = call.expected();
        cublas::LtProduct product(call.spec(), library());
        expect_conforms(run(product, call), call.spec().dst, call.spec().n, expected.y, expected.magnitude,
                        tolerance_of(call.spec().dst), describe(call.problem(), {}));
        ASSERT_FALSE(HasFailure());
    }
}

TEST(CublasLt, OneProductServesOtherRowCounts) {
    std::mt19937_64 random(2);
    GemmSpec spec;
    spec.experts = 3;
    spec.n = 16;
    spec.k = 24;
    const Call all(Problem::from(spec, {0, 4, 4, 9}), random);
    cublas::LtProduct product(all.spec(), library());
    const std::vector<std::uint8_t> whole = run(product, all);
    const std::vector<std::int32_t> fewer{0, 4, 4, 7};
    std::memcpy(all.bytes(Role::m_indptr), fewer.data(), fewer.size() * sizeof(std::int32_t));
    const std::vector<std::uint8_t> part = run(product, all);
    const std::size_t row = static_cast<std::size_t>(spec.n) * 2;
    EXPECT_EQ(std::memcmp(part.data(), whole.data(), 7 * row), 0);
    EXPECT_EQ(std::vector(part.begin() + static_cast<std::ptrdiff_t>(7 * row), part.end()),
              std::vector<std::uint8_t>(2 * row, 0xFF))
        << "rows behind the last expert stay as they are";
}

TEST(CublasLt, NoKernelIsAReason) {
    std::mt19937_64 random(3);
    GemmSpec spec;
    spec.experts = 2;
    spec.n = 16;
    for (const std::int64_t k : {18, 20}) {
        spec.k = k;
        const Call call(Problem::from(spec, {0, 1, 3}), random);
        cublas::LtProduct product(call.spec(), library());
        EXPECT_TRUE(throws_error(ErrorCode::unsupported, "cuBLASLt", "no kernel", "a GPU and sizes", [&] {
            (void)run(product, call);
        })) << k;
    }
}

TEST(CublasLt, ArraysAreAlignedAndApart) {
    for (std::int64_t experts = 1; experts < 40; ++experts) {
        std::vector<std::byte> memory(cublas::DeviceGroups::bytes(experts) + 16);
        std::byte* const first = memory.data() + (16 - reinterpret_cast<std::uintptr_t>(memory.data()) % 16) % 16;
        const auto groups = cublas::DeviceGroups::in(first, experts);
        const std::array<std::pair<void*, std::size_t>, 7> arrays{{{groups.weights, 8},
                                                                   {groups.tokens, 8},
                                                                   {groups.y, 8},
                                                                   {groups.n, 4},
                                                                   {groups.k, 4},
                                                                   {groups.rows, 4},
                                                                   {groups.alpha, 8}}};
        std::byte* end = first;
        for (const auto& [array, element] : arrays) {
            auto* const begin = static_cast<std::byte*>(array);
            EXPECT_GE(begin, end);
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(begin) % 16, 0U);
            end = begin + element * static_cast<std::size_t>(array == groups.alpha ? 1 : experts);
        }
        EXPECT_LE(end, first + cublas::DeviceGroups::bytes(experts));
    }
}

}  // namespace
}  // namespace moegemm::test
