/// \file
/// The types that y may have.
#pragma once

#include <array>
#include <string>

#include <fmt/format.h>

#include <moegemm/dtype.hpp>

namespace moegemm {

inline constexpr std::array<DType, 3> dst_dtypes{DType::bf16, DType::f16, DType::f32};

/// "one of bfloat16, float16, float32"
[[nodiscard]] inline std::string dst_dtypes_text() {
    return fmt::format("one of {}, {}, {}", info(dst_dtypes[0]).long_name, info(dst_dtypes[1]).long_name,
                       info(dst_dtypes[2]).long_name);
}

}  // namespace moegemm
