#include <moegemm/variant.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include "op/dst.hpp"

namespace moegemm {
namespace {

struct Spelling {
    std::string_view text;
    NameSet name;
};

/// Every accepted spelling; the first of a name is the one that messages use.
constexpr std::array<Spelling, 20> spellings{{
    {"bfloat16", names::bf16},
    {"bf16", names::bf16},
    {"int8", names::int8},
    {"fp8_e4m3", names::e4m3},
    {"float8_e4m3", names::e4m3},
    {"float8", names::e4m3},
    {"e4m3", names::e4m3},
    {"fp8_e5m2", names::e5m2},
    {"float8_e5m2", names::e5m2},
    {"e5m2", names::e5m2},
    {"fp8", names::fp8},
    {"fp8_block", names::fp8_block},
    {"mxfp8", names::mx_e4m3},
    {"mxfloat8", names::mx_e4m3},
    {"mxfloat8_e4m3", names::mx_e4m3},
    {"mxfloat8_e5m2", names::mx_e5m2},
    {"mxfp4", names::mxfp4},
    {"mxfloat4", names::mxfloat4},
    {"mxfloat4_e2m1", names::mxfloat4},
    {"nvfp4", names::nvfp4},
}};

struct NamedArgument {
    std::string_view argument;
    NameSet Naming::*names;
};

constexpr std::array<NamedArgument, 3> named_arguments{{
    {"dtype", &Naming::dtype},
    {"w_dtype", &Naming::w_dtype},
    {"compute_dtype", &Naming::compute_dtype},
}};

/// All names that some variant takes for an argument.
NameSet names_of(NameSet Naming::*argument) {
    NameSet all = 0;
    for (const VariantInfo& row : variants) {
        for (const Naming& naming : row.namings) {
            all |= naming.*argument;
        }
    }
    return all;
}

NameSet resolve_name(const NamedArgument& argument, std::string_view text) {
    const NameSet allowed = names_of(argument.names);
    std::vector<std::string_view> texts;
    for (const Spelling& spelling : spellings) {
        if ((spelling.name & allowed) == 0) {
            continue;
        }
        if (spelling.text == text) {
            return spelling.name;
        }
        texts.push_back(spelling.text);
    }
    throw Error(ErrorCode::invalid_argument, std::string(argument.argument), std::string(text),
                fmt::format("one of {}", fmt::join(texts, ", ")));
}

/// "fp8_e4m3|fp8_e5m2"
std::string describe(NameSet set) {
    std::vector<std::string_view> texts;
    NameSet left = set;
    for (const Spelling& spelling : spellings) {
        if ((spelling.name & left) != 0) {
            texts.push_back(spelling.text);
            left &= ~spelling.name;
        }
    }
    return fmt::format("{}", fmt::join(texts, "|"));
}

/// How many of the three names `naming` accepts.
int agreement(const Naming& naming, const Naming& given) {
    return static_cast<int>(std::ranges::count_if(named_arguments, [&](const NamedArgument& argument) {
        return (naming.*argument.names & given.*argument.names) != 0;
    }));
}

/// The namings that are nearest to what was given, for the message.
std::string nearest_namings(const Naming& given) {
    int best = 0;
    for (const VariantInfo& row : variants) {
        for (const Naming& naming : row.namings) {
            best = std::max(best, agreement(naming, given));
        }
    }
    std::vector<std::string> texts;
    for (const VariantInfo& row : variants) {
        for (const Naming& naming : row.namings) {
            if (naming.dtype != 0 && agreement(naming, given) == best) {
                texts.push_back(fmt::format("{},{},{} ({})", describe(naming.dtype), describe(naming.w_dtype),
                                            describe(naming.compute_dtype), row.name));
            }
        }
    }
    return fmt::format("{}", fmt::join(texts, "; "));
}

DType element(DType of_row, NameSet name) {
    return of_row == DType::e4m3 && (name & (names::e5m2 | names::mx_e5m2)) != 0 ? DType::e5m2 : of_row;
}

DType resolve_dst(std::string_view text) {
    for (const DType dtype : dst_dtypes) {
        if (text == info(dtype).name || text == info(dtype).long_name) {
            return dtype;
        }
    }
    throw Error(ErrorCode::invalid_argument, "dst_dtype", std::string(text), dst_dtypes_text());
}

}  // namespace

TypedVariant resolve_variant(std::string_view dtype, std::string_view w_dtype, std::string_view compute_dtype,
                             std::string_view dst_dtype) {
    Naming given;
    given.dtype = resolve_name(named_arguments[0], dtype);
    given.w_dtype = resolve_name(named_arguments[1], w_dtype);
    given.compute_dtype = resolve_name(named_arguments[2], compute_dtype);
    const DType dst = resolve_dst(dst_dtype);
    for (const VariantInfo& row : variants) {
        for (const Naming& naming : row.namings) {
            if (agreement(naming, given) == 3) {
                return {row.id, element(row.a, given.dtype), element(row.w, given.w_dtype), dst};
            }
        }
    }
    throw Error(ErrorCode::invalid_argument, "dtype,w_dtype,compute_dtype",
                fmt::format("{},{},{}", dtype, w_dtype, compute_dtype), nearest_namings(given));
}

}  // namespace moegemm
