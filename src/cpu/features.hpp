/// \file
/// The instruction sets that kernels may use: offered by the processor and enabled by the system.
#pragma once

#include <string>
#include <vector>

namespace moegemm {

struct CpuFeatures {
    bool is_intel = false;  ///< by the vendor's name
    bool avx2 = false;      ///< with FMA and F16C
    bool avx_vnni = false;
    bool avx512 = false;  ///< F, BW, DQ, VL
    bool avx512_vnni = false;
    bool avx512_bf16 = false;
    bool avx512_fp16 = false;
    bool gfni = false;      ///< in all widths that AVX-512 has
    bool amx_bf16 = false;  ///< tiles too, and the process may use them
    bool amx_int8 = false;
};

/// Asks the processor once; asks the system for permission to use AMX tiles.
[[nodiscard]] const CpuFeatures& cpu_features();

/// Names of what is there: "avx2", "avx512_vnni", …
[[nodiscard]] std::vector<std::string> names_of(const CpuFeatures& features);

}  // namespace moegemm
