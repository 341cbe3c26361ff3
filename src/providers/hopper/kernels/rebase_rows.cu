#include "providers/hopper/kernels/rebase_rows.hpp"

#include "providers/hopper/kernels/lowered_values.cuh"
#include "providers/hopper/kernels/row_owner.cuh"
#include "providers/hopper/kernels/weight_decode.hpp"
#include "providers/hopper/kernels/widen_row.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {
namespace {

constexpr int warps = 4;  ///< of a block: a row each
/// rebased_magnitudes of every span.
struct Tables {
    std::uint64_t of_span[Rebased::activation_span + 1];
};
constexpr Tables make_tables() {
    Tables made{};
    for (int span = 0; span <= Rebased::activation_span; ++span) {
        made.of_span[span] = rebased_magnitudes(span);
    }
    return made;
}
__device__ constexpr Tables tables = make_tables();

/// Half a group of activations of a type, 16 values, as words.
template <DType type>
struct Half;

template <>
struct Half<DType::e2m1x2> {
    static constexpr int bytes = 8;
    static constexpr int top = Rebased::activation_top;

    uint2 words;

    __device__ __forceinline__ Half(const std::uint8_t* row, int number)
        : words(__ldg(reinterpret_cast<const uint2*>(row) + number)) {}
    [[nodiscard]] __device__ __forceinline__ bool any() const { return ((words.x | words.y) & 0x77777777U) != 0; }
    [[nodiscard]] __device__ __forceinline__ static bool takes(int least, int most) {
        return Rebased::has(least, most, Rebased::activation_span);
    }
    /// `binades` below the row's top, in the order of rebased_place.
    [[nodiscard]] __device__ __forceinline__ uint4 rebased(int binades) const {
        const uint2 magnitudes =
            __ldg(reinterpret_cast<const uint2*>(tables.of_span) + min(binades, Rebased::activation_span));
        std::uint32_t made[4];
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
            made[i] = rebased_codes(byte_perm(words.x, words.y, 0x0040U + 0x0011U * i), magnitudes.x, magnitudes.y);
        }
        return make_uint4(made[0], made[1], made[2], made[3]);
    }
};

template <>
struct Half<DType::e4m3> {
    static constexpr int bytes = 16;
    static constexpr int top = Rebased::e4m3_top;

    uint4 words;

    __device__ __forceinline__ Half(const std::uint8_t* row, int number)
        : words(__ldg(reinterpret_cast<const uint4*>(row) + number)) {}
    [[nodiscard]] __device__ __forceinline__ bool any() const {
        return ((words.x | words.y | words.z | words.w) & 0x7F7F7F7FU) != 0;
    }
    [[nodiscard]] __device__ __forceinline__ static bool takes(int /*least*/, int most) {
        return Rebased::has(most, most, 0);
    }
    [[nodiscard]] __device__ __forceinline__ uint4 rebased(int binades) const {
        const std::uint32_t factors = lowering_factors(static_cast<std::uint32_t>(binades));
        const auto four = [&](std::uint32_t front, std::uint32_t back, std::uint32_t digits) {
            return lowered(byte_perm(front, back, digits), factors);
        };
        return make_uint4(four(words.x, words.z, 0x5140), four(words.x, words.z, 0x7362),
                          four(words.y, words.w, 0x5140), four(words.y, words.w, 0x7362));
    }
};

/// What a row's groups that are not all zero have as scales.
struct Scales {
    int least = 255;
    int most = 0;
    bool has_nan = false;
};
template <DType type>
__device__ __forceinline__ Scales look_at(const WidenCall& call, const std::uint8_t* source, const RowScales& scales,
                                          int lane) {
    Scales found;
#pragma unroll 4
    for (int number = lane; number < call.depth / 16; number += 32) {
        const Half<type> half(source, number);
        const int code = static_cast<int>(scales.code(number / 2));
        found.has_nan = found.has_nan || code == 255;
        if (code != 255 && half.any()) {
            found.most = max(found.most, code);
            found.least = min(found.least, code);
        }
    }
    found.has_nan = __any_sync(~0U, static_cast<int>(found.has_nan)) != 0;
    found.most = __reduce_max_sync(~0U, found.most);
    found.least = __reduce_min_sync(~0U, found.least);
    if (found.least > found.most) {  // a row of zeros
        found.most = 127;
        found.least = 127;
    }
    return found;
}

/// A warp a row: first its scales, then its values, which come from the first-level cache then.
template <DType type>
__global__ void __launch_bounds__(warps * 32)
    rebase(const __grid_constant__ WidenCall call, const __grid_constant__ RebasedRows rebased) {
    ptx::let_next_kernel_start();
    const int row = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / 32;
    if (row >= call.rows) {
        return;
    }
    const RowOwner owner = owner_of(call.m_indptr, call.experts, row);
    if (owner.expert < 0) {
        return;
    }
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int halves = call.depth / 16;
    const std::uint8_t* const source = call.a + static_cast<std::int64_t>(row) * halves * Half<type>::bytes;
    const RowScales scales(call, owner, row);
    if (__ldg(rebased.not_rebasable) != 0) {
        widen_row<type, DType::ue8m0, 32>(call, scales, row, lane);
        return;
    }
    const Scales found = look_at<type>(call, source, scales, lane);
    const bool is_taken = Half<type>::takes(found.least, found.most);
    if (lane == 0) {
        rebased.factors[row] = !is_taken       ? -1.0F
                               : found.has_nan ? __int_as_float(0x7FC00000)
                                               : __int_as_float((found.most - Half<type>::top) << 23);
        if (!is_taken) {
            *rebased.rows_differ = 1;
        }
    }
    if (!is_taken) {
        widen_row<type, DType::ue8m0, 32>(call, scales, row, lane);
        return;
    }
    auto* const target = reinterpret_cast<uint4*>(rebased.values + static_cast<std::int64_t>(row) * call.depth);
#pragma unroll 4
    for (int number = lane; number < halves; number += 32) {
        // A group of zeros may have any scale.
        const int binades = max(found.most - static_cast<int>(scales.code(number / 2)), 0);
        target[number] = Half<type>(source, number).rebased(binades);
    }
}

}  // namespace

cudaError_t rebase_rows(DType a, const WidenCall& call, const RebasedRows& rebased, cudaStream_t stream) {
    const auto blocks = static_cast<unsigned>((call.rows + warps - 1) / warps);
    if (a == DType::e2m1x2) {
        rebase<DType::e2m1x2><<<blocks, warps * 32, 0, stream>>>(call, rebased);
    } else {
        rebase<DType::e4m3><<<blocks, warps * 32, 0, stream>>>(call, rebased);
    }
    return cudaGetLastError();
}

}  // namespace moegemm::hopper
