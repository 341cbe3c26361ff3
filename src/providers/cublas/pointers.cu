#include "providers/cublas/pointers.hpp"

#include <algorithm>

#include "cuda/error.hpp"

namespace moegemm::cublas {
namespace {

/// Groups of a launch: what fits into the 4 KB that parameters have on every GPU.
constexpr int most_groups = 384;

struct Part {
    Bases bases;
    const void** pointers;  ///< of this part's first group's weights
    int stride;             ///< from there to the tokens' and to y's
    int count;
    int experts[most_groups];
    int first_rows[most_groups];
};
static_assert(sizeof(Part) <= 4096);

__global__ void write(const __grid_constant__ Part part) {
    const int i = static_cast<int>(threadIdx.x);
    if (i < part.count) {
        const std::int64_t row = part.first_rows[i];
        part.pointers[i] = part.bases.weights + part.experts[i] * part.bases.expert_bytes;
        part.pointers[part.stride + i] = part.bases.tokens + row * part.bases.token_bytes;
        part.pointers[2 * part.stride + i] = part.bases.y + row * part.bases.y_bytes;
    }
}

}  // namespace

void write_pointers(const Bases& bases, const int* experts, const int* first_rows, int count, const void** pointers,
                    cudaStream_t stream) {
    for (int first = 0; first < count; first += most_groups) {
        Part part;
        part.bases = bases;
        part.pointers = pointers + first;
        part.stride = count;
        part.count = std::min(most_groups, count - first);
        std::copy_n(experts + first, part.count, part.experts);
        std::copy_n(first_rows + first, part.count, part.first_rows);
        write<<<1, most_groups, 0, stream>>>(part);
        cuda::check(cudaGetLastError(), "the launch that writes addresses");
    }
}

}  // namespace moegemm::cublas
