#include "op/random/operand_codes.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <moegemm/error.hpp>
#include <nlohmann/json.hpp>

#include "op/host_case.hpp"
#include "op/random/operand_fill.hpp"

namespace moegemm {
namespace {

GemmSpec spec_of(Variant variant) { return test::spec_of(variant, 3, 8, 256); }

Role role_named(const std::string& name) {
    const std::map<std::string, Role> roles{
        {"a", Role::a}, {"w", Role::w}, {"a_scale", Role::a_scale}, {"w_scale", Role::w_scale}, {"alpha", Role::alpha}};
    return roles.at(name);
}

/// One generator for every kind of stored element.
std::vector<OperandGenerator> all_generators() {
    std::vector<OperandGenerator> generators;
    for (const DType dtype :
         {DType::bf16, DType::i8, DType::e4m3, DType::e5m2, DType::e2m1x2, DType::f32, DType::ue8m0, DType::ue4m3}) {
        generators.push_back({0xC0FFEE, 1, dtype, -3});
    }
    return generators;
}

double value_of(DType dtype, std::uint32_t code) {
    const auto byte = static_cast<std::uint8_t>(code);
    switch (dtype) {
        case DType::bf16:
            return static_cast<double>(formats::Bf16::decode(static_cast<std::uint16_t>(code)));
        case DType::i8:
            return static_cast<std::int8_t>(byte);
        case DType::e4m3:
            return static_cast<double>(formats::E4m3::decode(byte));
        case DType::e5m2:
            return static_cast<double>(formats::E5m2::decode(byte));
        case DType::ue8m0:
            return static_cast<double>(formats::Ue8m0::decode(byte));
        case DType::ue4m3:
            return static_cast<double>(formats::Ue4m3::decode(byte));
        default:
            return static_cast<double>(formats::bits_float(code));
    }
}

TEST(OperandCodes, EqualTheIndependentImplementation) {
    std::ifstream file(MOEGEMM_TEST_DATA "/random/operand_codes.json");
    const nlohmann::json cases = nlohmann::json::parse(file);
    ASSERT_GE(cases.size(), 100U);
    for (const nlohmann::json& golden : cases) {
        const std::optional<Variant> variant = find_variant(golden.at("variant").get<std::string>());
        ASSERT_TRUE(variant);
        GemmSpec spec = spec_of(*variant);
        spec.a = find_dtype(golden.at("a").get<std::string>()).value();
        spec.w = find_dtype(golden.at("w").get<std::string>()).value();
        const Role role = role_named(golden.at("role").get<std::string>());
        const OperandGenerator generator = make_operand_generator(spec, role, golden.at("seed").get<std::uint64_t>());
        EXPECT_EQ(info(generator.dtype).name, golden.at("dtype").get<std::string>());
        std::uint64_t index = golden.at("first").get<std::uint64_t>();
        for (const nlohmann::json& code : golden.at("codes")) {
            ASSERT_EQ(generator.code(index), code.get<std::uint32_t>())
                << golden.at("variant") << ' ' << golden.at("role") << ' ' << index;
            ++index;
        }
    }
}

TEST(OperandCodes, BlocksGiveTheElementsOneByOne) {
    for (const OperandGenerator& generator : all_generators()) {
        for (const std::uint64_t block : {std::uint64_t{0}, std::uint64_t{77}, std::uint64_t{1} << 33}) {
            const OperandCodes codes = generator.codes(block);
            for (unsigned lane = 0; lane < operand_block_elements; ++lane) {
                EXPECT_EQ(codes.codes[lane], generator.code(block * operand_block_elements + lane));
            }
        }
    }
}

TEST(OperandCodes, AreAFunctionOfSeedRoleAndIndex) {
    const GemmSpec spec = spec_of(Variant::mxfp8);
    const auto draw_all = [&](Role role, std::uint64_t seed) {
        const OperandGenerator generator = make_operand_generator(spec, role, seed);
        std::vector<std::uint32_t> codes;
        for (std::uint64_t index = 0; index < 64; ++index) {
            codes.push_back(generator.code(index));
        }
        return codes;
    };
    EXPECT_EQ(draw_all(Role::a, 5), draw_all(Role::a, 5));
    EXPECT_NE(draw_all(Role::a, 5), draw_all(Role::a, 6));
    EXPECT_NE(draw_all(Role::a, 5), draw_all(Role::w, 5));
    EXPECT_NE(draw_all(Role::a_scale, 5), draw_all(Role::w_scale, 5));
}

TEST(OperandCodes, OfAllDrawsAreFiniteAndNonZeroWhereTheFormatAllows) {
    for (const OperandGenerator& generator : all_generators()) {
        if (generator.dtype == DType::e2m1x2) {
            continue;  // the test below
        }
        const bool rounds_to_zero = generator.dtype == DType::i8;
        for (std::uint32_t draw = 0; draw < 65536; ++draw) {
            const double value = value_of(generator.dtype, generator.code_of_draw(draw));
            ASSERT_TRUE(std::isfinite(value)) << info(generator.dtype).name << ' ' << draw;
            ASSERT_TRUE(rounds_to_zero || value != 0.0) << info(generator.dtype).name << ' ' << draw;
        }
    }
}

TEST(OperandCodes, ElementsAreQuantisedNormalNumbers) {
    // Root mean squares over all draws: of z·127/4, z·448/4 and so on, less what saturation takes.
    const std::map<DType, double> expected{
        {DType::bf16, 1.0}, {DType::i8, 127.0 / 4}, {DType::e4m3, 448.0 / 4}, {DType::e5m2, 57344.0 / 4}};
    for (const auto& [dtype, rms] : expected) {
        const OperandGenerator generator{1, 0, dtype, 0};
        double squares = 0.0;
        double sum = 0.0;
        for (std::uint32_t draw = 0; draw < 65536; ++draw) {
            const double value = value_of(dtype, generator.code_of_draw(draw));
            squares += value * value / 65536.0;
            sum += value;
        }
        EXPECT_NEAR(std::sqrt(squares) / rms, 1.0, 0.01) << info(dtype).name;
        EXPECT_EQ(sum, 0.0) << info(dtype).name;  // symmetric
    }
    const OperandGenerator int8{1, 0, DType::i8, 0};
    for (std::uint32_t draw = 0; draw < 65536; ++draw) {
        EXPECT_NE(int8.code_of_draw(draw), 0x80U);  // −128 has no opposite
    }
}

TEST(OperandCodes, PackedElementsUseEveryCodeLikeANormalNumber) {
    const OperandGenerator generator{1, 0, DType::e2m1x2, 0};
    std::array<int, 16> even{};
    std::array<int, 16> odd{};
    for (std::uint32_t draw = 0; draw < 65536; ++draw) {
        const auto byte = static_cast<std::uint8_t>(generator.code_of_draw(draw));
        ++even[formats::E2m1::unpack_even(byte)];
        ++odd[formats::E2m1::unpack_odd(byte)];
    }
    EXPECT_EQ(even, odd);
    for (std::size_t magnitude = 0; magnitude < 8; ++magnitude) {
        EXPECT_EQ(even[magnitude], even[magnitude + 8]) << magnitude;
        // Between the midpoints of e2m1's numbers lies this much of a normal number times 2.4.
        constexpr std::array<double, 9> edges{0.0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 1e9};
        const auto below = [&](std::size_t edge) { return 0.5 * std::erf(edges[edge] / 2.4 / std::sqrt(2.0)); };
        EXPECT_NEAR(even[magnitude] / 65536.0, below(magnitude + 1) - below(magnitude), 1.0 / 256) << magnitude;
    }
}

TEST(OperandCodes, ScalesTakeManyValuesInTheirRange) {
    const std::map<DType, std::pair<double, double>> ranges{
        {DType::f32, {0x1p-6, 0x1p-2}}, {DType::ue8m0, {0x1p-6, 0x1p-3}}, {DType::ue4m3, {0.25, 3.75}}};
    const std::map<DType, std::size_t> distinct{{DType::f32, 65536}, {DType::ue8m0, 4}, {DType::ue4m3, 32}};
    for (const auto& [dtype, range] : ranges) {
        const OperandGenerator generator{1, 2, dtype, -3};
        std::set<double> values;
        for (std::uint32_t draw = 0; draw < 65536; ++draw) {
            values.insert(value_of(dtype, generator.code_of_draw(draw)));
        }
        EXPECT_EQ(values.size(), distinct.at(dtype)) << info(dtype).name;
        EXPECT_GE(*values.begin(), range.first) << info(dtype).name;
        EXPECT_LE(*values.rbegin(), range.second) << info(dtype).name;
    }
}

TEST(OperandCodes, ScalesBringElementsToAboutUnitVariance) {
    for (const VariantInfo& row : variants) {
        const GemmSpec spec = spec_of(row.id);
        double square = 1.0;
        for (const Role role : {Role::a, Role::w, Role::a_scale, Role::w_scale, Role::alpha}) {
            const bool scale = role == Role::a_scale || role == Role::w_scale;
            if ((scale && row.scaling == Scaling::none) || (role == Role::a_scale && !row.a_scaled) ||
                (role == Role::alpha && !spec.has_alpha)) {
                continue;
            }
            const OperandGenerator generator = make_operand_generator(spec, role, 1);
            double mean = 0.0;
            for (std::uint32_t draw = 0; draw < 65536; ++draw) {
                const std::uint32_t code = generator.code_of_draw(draw);
                const double value =
                    generator.dtype == DType::e2m1x2
                        ? static_cast<double>(formats::E2m1::decode(static_cast<std::uint8_t>(code & 0xFU)))
                        : value_of(generator.dtype, code);
                mean += value * value / 65536.0;
            }
            square *= mean;
        }
        EXPECT_GT(std::sqrt(square), 0.1) << row.name;  // of one product A·W with all its factors
        EXPECT_LT(std::sqrt(square), 10.0) << row.name;
    }
}

TEST(OperandCodes, RefuseATensorThatTheSpecLacks) {
    const auto expect_refused = [](const GemmSpec& spec, Role role, const std::string& name) {
        try {
            static_cast<void>(make_operand_generator(spec, role, 0));
            ADD_FAILURE() << name;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
            EXPECT_EQ(error.argument(), "role");
            EXPECT_EQ(error.value(), name);
        }
    };
    expect_refused(spec_of(Variant::bf16), Role::a_scale, "a_scale");
    expect_refused(spec_of(Variant::bf16), Role::w_scale, "w_scale");
    expect_refused(spec_of(Variant::mxfp4_a16), Role::a_scale, "a_scale");
    expect_refused(spec_of(Variant::int8), Role::alpha, "alpha");
    expect_refused(spec_of(Variant::int8), Role::m_indptr, "m_indptr");
    expect_refused(spec_of(Variant::int8), Role::y, "y");
    GemmSpec no_alpha = spec_of(Variant::nvfp4);
    no_alpha.has_alpha = false;
    expect_refused(no_alpha, Role::alpha, "alpha");
}

template <class Element>
void expect_filled(const OperandGenerator& generator, std::uint64_t elements_hint) {
    const OperandFiller filler(generator, elements_hint);
    constexpr auto guard = static_cast<Element>(0xA5A5A5A5U);
    // Every alignment of the start to a block, lengths from nothing to several blocks.
    for (std::uint64_t first = 0; first < 9; ++first) {
        for (const std::uint64_t count : {0U, 1U, 3U, 7U, 8U, 9U, 16U, 41U}) {
            std::vector<Element> memory(count + 2, guard);
            const std::uint64_t start = 1000000 + first;
            filler.fill(start, count, memory.data() + 1);
            ASSERT_EQ(memory.front(), guard);
            ASSERT_EQ(memory.back(), guard);
            for (std::uint64_t i = 0; i < count; ++i) {
                ASSERT_EQ(memory[i + 1], static_cast<Element>(generator.code(start + i))) << first << ' ' << count;
            }
        }
    }
}

TEST(OperandFiller, WritesWhatTheGeneratorSays) {
    for (const OperandGenerator& generator : all_generators()) {
        for (const std::uint64_t hint : {std::uint64_t{10}, std::uint64_t{1} << 20}) {  // without a table, and with one
            switch (info(generator.dtype).bytes) {
                case 1:
                    expect_filled<std::uint8_t>(generator, hint);
                    break;
                case 2:
                    expect_filled<std::uint16_t>(generator, hint);
                    break;
                default:
                    expect_filled<std::uint32_t>(generator, hint);
                    break;
            }
        }
    }
}

TEST(OperandFiller, TableAndFunctionAgreeOnAllDraws) {
    // One seed meets nearly all of the 65536 draws, the next ones the rest.
    for (OperandGenerator generator : all_generators()) {
        std::vector<bool> met(65536);
        std::size_t missing = met.size();
        constexpr std::uint64_t elements = 1 << 18;
        std::vector<std::uint32_t> memory(elements);
        while (missing > 0) {
            OperandFiller(generator, elements).fill(0, elements, memory.data());
            for (std::uint64_t block = 0; block < elements / operand_block_elements; ++block) {
                const PhiloxBlock random = generator.draws(block);
                for (unsigned lane = 0; lane < operand_block_elements; ++lane) {
                    const std::uint32_t draw = random.half(lane);
                    if (met[draw]) {
                        continue;
                    }
                    met[draw] = true;
                    --missing;
                    const std::size_t index = block * operand_block_elements + lane;
                    std::uint32_t written = 0;
                    const auto bytes = static_cast<std::size_t>(info(generator.dtype).bytes);
                    std::memcpy(&written, reinterpret_cast<const char*>(memory.data()) + index * bytes, bytes);
                    ASSERT_EQ(written, generator.code_of_draw(draw)) << info(generator.dtype).name;
                }
            }
            ++generator.seed;
        }
    }
}

static_assert(OperandGenerator{0, 0, DType::ue8m0, 0}.code(0) >= 124, "operands are a constexpr function");

}  // namespace
}  // namespace moegemm
