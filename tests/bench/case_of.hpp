// Cases and problems for the tests, by a few words.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bench/case.hpp"

namespace moegemm::bench::test {

struct CaseWords {
    Variant variant = Variant::bf16;
    std::int64_t tokens = 24;
    std::int64_t experts = 4;
    std::int64_t n = 48;
    std::int64_t k = 64;
    std::string dst = "bfloat16";
    std::string layout;
};

inline Case case_of(const CaseWords& words) {
    const VariantInfo& row = info(words.variant);
    Case item;
    item.source = "test case";
    item.arguments = {{"arg_type", std::string("llm")},
                      {"num_tokens", words.tokens},
                      {"hidden_size", words.k},
                      {"new_hidden_size", words.n},
                      {"num_experts", words.experts},
                      {"topk", std::int64_t{1}},
                      {"dtype", std::string(row.types[0])},
                      {"w_dtype", std::string(row.types[1])},
                      {"compute_dtype", std::string(row.types[2])},
                      {"dst_dtype", words.dst}};
    if (!words.layout.empty()) {
        item.arguments.emplace_back("scale_layout", words.layout);
    }
    return item;
}

inline Problem problem_of(const CaseWords& words, const std::string& routing = "balanced", std::uint64_t seed = 0) {
    return Problem::from(Arguments::from(case_of(words).arguments, nullptr), Routing::parse(routing, seed));
}

}  // namespace moegemm::bench::test
