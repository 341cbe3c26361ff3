// A double of cuBLASLt's grouped products: multiplies matrices in host memory, in float64, from the layouts that
// cublasLt.h documents, and refuses what the library refuses or what the provider has no reason to ask for.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int success = 0;
constexpr int invalid_value = 7;
constexpr int not_supported = 15;

struct Handle {};
struct Matmul {
    std::map<int, std::int32_t> attributes;
};
struct Layout {
    int groups;
    const std::int32_t *rows, *columns, *strides;
};
struct Preference {
    std::map<int, std::int64_t> attributes;
};
struct Algorithm {
    std::uint64_t data[8];
};
struct HeuristicResult {
    Algorithm algorithm;
    std::size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
};
constexpr std::uint64_t only_algorithm = 0x6C74;

double decoded(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16U); }

std::uint16_t rounded(double value) {  // to nearest, ties to even; no NaN here
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U);
}

}  // namespace

EXPORT int cublasLtCreate(Handle** handle) {
    *handle = new Handle;
    return success;
}
EXPORT int cublasLtDestroy(Handle* handle) {
    delete handle;
    return success;
}
EXPORT int cublasLtMatmulDescCreate(Matmul** matmul, int compute_type, int scale_type) {
    if (compute_type != 68 || scale_type != 0) {
        return invalid_value;
    }
    *matmul = new Matmul;
    return success;
}
EXPORT int cublasLtMatmulDescDestroy(Matmul* matmul) {
    delete matmul;
    return success;
}
EXPORT int cublasLtMatmulDescSetAttribute(Matmul* matmul, int attribute, const void* value, std::size_t bytes) {
    if (bytes != sizeof(std::int32_t)) {
        return invalid_value;
    }
    matmul->attributes[attribute] = *static_cast<const std::int32_t*>(value);
    return success;
}
EXPORT int cublasLtGroupedMatrixLayoutCreate(Layout** layout, int type, int groups, const void* rows,
                                             const void* columns, const void* strides) {
    if (type != 14 || groups < 1) {
        return invalid_value;
    }
    *layout = new Layout{groups, static_cast<const std::int32_t*>(rows), static_cast<const std::int32_t*>(columns),
                         static_cast<const std::int32_t*>(strides)};
    return success;
}
EXPORT int cublasLtMatrixLayoutDestroy(Layout* layout) {
    delete layout;
    return success;
}
EXPORT int cublasLtMatmulPreferenceCreate(Preference** preference) {
    *preference = new Preference;
    return success;
}
EXPORT int cublasLtMatmulPreferenceDestroy(Preference* preference) {
    delete preference;
    return success;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value,
                                                std::size_t bytes) {
    if (bytes != sizeof(std::int64_t)) {
        return invalid_value;
    }
    preference->attributes[attribute] = *static_cast<const std::int64_t*>(value);
    return success;
}
EXPORT int cublasLtMatmulAlgoGetHeuristic(Handle* /*handle*/, Matmul* matmul, Layout* a, Layout* b, Layout* c,
                                          Layout* d, Preference* preference, int at_most, HeuristicResult* results,
                                          int* found) {
    const std::map<int, std::int32_t> wanted{{2, 1}, {3, 1}};  // factors on the device, the first matrix transposed
    if (matmul->attributes != wanted || a->groups != b->groups || a->groups != c->groups || a->groups != d->groups ||
        at_most < 1 || preference->attributes.size() != 4 || preference->attributes[1] != std::int64_t{32} << 20U) {
        return invalid_value;
    }
    const std::int64_t k = preference->attributes[13];
    const std::int64_t rows = std::accumulate(d->columns, d->columns + d->groups, std::int64_t{0});
    if (k != *a->rows || preference->attributes[14] != *d->rows ||
        preference->attributes[15] != std::max<std::int64_t>(rows / d->groups, 1)) {
        return invalid_value;
    }
    // The library has two ways to say that there is no kernel.
    *found = k % 8 == 0 ? 1 : 0;
    results->algorithm.data[0] = only_algorithm;
    return k % 4 == 0 ? success : not_supported;
}
EXPORT int cublasLtMatmul(Handle* /*handle*/, Matmul* /*matmul*/, const float* alpha, const std::uint16_t* const* a,
                          Layout* a_layout, const std::uint16_t* const* b, Layout* b_layout, const float* beta,
                          const std::uint16_t* const* /*c*/, Layout* /*c_layout*/, std::uint16_t* const* d,
                          Layout* d_layout, const Algorithm* algorithm, void* workspace, std::size_t /*bytes*/,
                          void* /*stream*/) {
    const auto misaligned = [](const void* address) { return reinterpret_cast<std::uintptr_t>(address) % 16 != 0; };
    if (algorithm->data[0] != only_algorithm || *alpha != 1 || *beta != 0 || misaligned(a) || misaligned(b) ||
        misaligned(d) || misaligned(workspace)) {
        return invalid_value;
    }
    for (int group = 0; group < d_layout->groups; ++group) {
        const std::int64_t depth = a_layout->rows[group];
        if (b_layout->rows[group] != depth || d_layout->rows[group] != a_layout->columns[group] ||
            d_layout->columns[group] != b_layout->columns[group]) {
            return invalid_value;
        }
        for (std::int64_t column = 0; column < d_layout->columns[group]; ++column) {
            for (std::int64_t row = 0; row < d_layout->rows[group]; ++row) {
                double sum = 0;
                for (std::int64_t i = 0; i < depth; ++i) {
                    sum += decoded(a[group][row * a_layout->strides[group] + i]) *
                           decoded(b[group][column * b_layout->strides[group] + i]);
                }
                d[group][column * d_layout->strides[group] + row] = rounded(sum);
            }
        }
    }
    return success;
}
