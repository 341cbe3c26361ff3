// A double of FlashInfer's compiled modules: the same functions with the same arguments over CPU tensors, in float64,
// from the layouts that FlashInfer documents, with index formulas of its own. It refuses what the real ones refuse, and
// what makes them wrong, read outside of their tensors, or end the process.
//
// One library for each module: DOUBLE_GEMM, DOUBLE_SM90, DOUBLE_SM100, DOUBLE_SM120. DOUBLE_FAULT_* make bad ones.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

#include <moegemm/formats/formats.hpp>

namespace {

using tvm::ffi::TensorView;
namespace formats = moegemm::formats;

constexpr std::int64_t mib = 1 << 20;

#define REFUSE_UNLESS(condition, text)                                             \
    do {                                                                           \
        if (!(condition)) {                                                        \
            TVM_FFI_THROW(ValueError) << text << " (" #condition ")"; /* NOLINT */ \
        }                                                                          \
    } while (false)

enum class Kind : std::uint8_t { u8, i32, i64, f16, bf16, f32, e4m3, e5m2, other };

Kind kind_of(const TensorView& tensor) {
    const DLDataType type = tensor.dtype();
    if (type.lanes != 1) {
        return Kind::other;
    }
    switch (type.code) {
        case kDLUInt:
            return type.bits == 8 ? Kind::u8 : Kind::other;
        case kDLInt:
            return type.bits == 32 ? Kind::i32 : type.bits == 64 ? Kind::i64 : Kind::other;
        case kDLFloat:
            return type.bits == 16 ? Kind::f16 : type.bits == 32 ? Kind::f32 : Kind::other;
        case kDLBfloat:
            return type.bits == 16 ? Kind::bf16 : Kind::other;
        case kDLFloat8_e4m3fn:
            return Kind::e4m3;
        case kDLFloat8_e5m2:
            return Kind::e5m2;
        default:
            return Kind::other;
    }
}

[[maybe_unused]] std::int64_t bytes_of(Kind kind) {
    switch (kind) {
        case Kind::f16:
        case Kind::bf16:
            return 2;
        case Kind::f32:
        case Kind::i32:
            return 4;
        case Kind::i64:
            return 8;
        default:
            return 1;
    }
}

[[maybe_unused]] bool is_fp8(Kind kind) { return kind == Kind::e4m3 || kind == Kind::e5m2; }

void check(const TensorView& tensor, Kind kind, const std::vector<std::int64_t>& shape, const char* name) {
    REFUSE_UNLESS(tensor.device().device_type == kDLCPU && tensor.device().device_id == 0, name << ": the CPU");
    REFUSE_UNLESS(kind_of(tensor) == kind, name << ": its data type");
    REFUSE_UNLESS(tensor.ndim() == static_cast<std::int32_t>(shape.size()), name << ": its rank");
    for (std::int32_t i = 0; i < tensor.ndim(); ++i) {
        REFUSE_UNLESS(tensor.size(i) == shape[static_cast<std::size_t>(i)], name << ": dimension " << i << " is "
                                                                                 << tensor.size(i) << ", not "
                                                                                 << shape[static_cast<std::size_t>(i)]);
    }
    REFUSE_UNLESS(tensor.IsContiguous(), name << ": contiguous");
}

/// What is loaded 16 bytes at a time.
void check_aligned(const void* data, std::int64_t row_bytes, const char* name) {
    REFUSE_UNLESS(reinterpret_cast<std::uintptr_t>(data) % 16 == 0, name << ": 16-byte addresses");
    REFUSE_UNLESS(row_bytes % 16 == 0, name << ": 16-byte rows");
}

void check_workspace(const TensorView& workspace, std::int64_t bytes, const char* name) {
    check(workspace, Kind::u8, {workspace.size(0)}, name);
    REFUSE_UNLESS(workspace.size(0) >= bytes, name << ": its size");
    // It is the kernels' to write: what was there must not matter, nor what they leave.
    std::memset(workspace.data_ptr(), 0xEE, 4096);
}

double decode(Kind kind, const void* data, std::int64_t index) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    std::uint16_t half = 0;
    switch (kind) {
        case Kind::e4m3:
            return static_cast<double>(formats::E4m3::decode(bytes[index]));
        case Kind::e5m2:
            return static_cast<double>(formats::E5m2::decode(bytes[index]));
        case Kind::u8: {  // packed e2m1, the even element in the low half
            const int code = bytes[index / 2] >> (index % 2 == 0 ? 0 : 4) & 0xF;
            return static_cast<double>(formats::E2m1::decode(static_cast<formats::E2m1::Code>(code)));
        }
        case Kind::bf16:
            std::memcpy(&half, bytes + 2 * index, 2);
            return static_cast<double>(formats::Bf16::decode(half));
        default:
            std::memcpy(&half, bytes + 2 * index, 2);
            return static_cast<double>(formats::F16::decode(half));
    }
}

void encode(Kind kind, double value, void* data, std::int64_t index) {
    const auto single = static_cast<float>(value);
    const std::uint16_t code = kind == Kind::bf16 ? formats::Bf16::encode(single) : formats::F16::encode(single);
    std::memcpy(static_cast<std::uint8_t*>(data) + 2 * index, &code, 2);
}

/// One expert's product: y (m, n) of type `out` becomes x (m, k) times w (n, k), both as float64, plus `beta` times
/// itself.
void product(const std::vector<double>& x, const std::vector<double>& w, std::int64_t m, std::int64_t n, std::int64_t k,
             double factor, double beta, Kind out, void* y) {
    for (std::int64_t row = 0; row < m; ++row) {
        for (std::int64_t column = 0; column < n; ++column) {
            double sum = 0;
            for (std::int64_t i = 0; i < k; ++i) {
                sum += x[static_cast<std::size_t>(row * k + i)] * w[static_cast<std::size_t>(column * k + i)];
            }
            const std::int64_t at = row * n + column;
            encode(out, factor * sum + (beta == 0 ? 0 : beta * decode(out, y, at)), y, at);
        }
    }
}

#if defined(DOUBLE_GEMM) || defined(DOUBLE_SM90)
void segments(const TensorView& problems, const TensorView& x_ptr, const TensorView& w_ptr, const TensorView& y_ptr,
              const TensorView& x_stride, const TensorView& w_stride, const TensorView& y_stride, Kind in, Kind out,
              bool column_major, double beta) {
    const std::int64_t count = x_ptr.size(0);
    check(problems, Kind::i32, {count, 3}, "all_problems");
    check(x_ptr, Kind::i64, {count}, "x_ptr");
    check(w_ptr, Kind::i64, {count}, "w_ptr");
    check(y_ptr, Kind::i64, {count}, "y_ptr");
    check(x_stride, Kind::i64, {count}, "x_stride");
    check(w_stride, Kind::i64, {count}, "w_stride");
    check(y_stride, Kind::i64, {count}, "y_stride");
    REFUSE_UNLESS(column_major, "weight_column_major: weights are (N, K)");
    REFUSE_UNLESS(out == Kind::bf16 || out == Kind::f16, "y: its data type");
    const auto number = [](const TensorView& tensor, std::int64_t index) {
        return static_cast<const std::int64_t*>(tensor.data_ptr())[index];
    };
    for (std::int64_t i = 0; i < count; ++i) {
        const auto* sizes = static_cast<const std::int32_t*>(problems.data_ptr()) + 3 * i;
        const std::int64_t m = sizes[0];
        const std::int64_t n = sizes[1];
        const std::int64_t k = sizes[2];
        REFUSE_UNLESS(m >= 0 && n > 0 && k > 0, "all_problems: sizes");
        REFUSE_UNLESS(number(x_stride, i) == k && number(w_stride, i) == k && number(y_stride, i) == n, "strides");
        const auto* x = reinterpret_cast<const void*>(number(x_ptr, i));
        const auto* w = reinterpret_cast<const void*>(number(w_ptr, i));
        auto* y = reinterpret_cast<void*>(number(y_ptr, i));
        check_aligned(x, k * bytes_of(in), "x");
        check_aligned(w, k * bytes_of(in), "w");
        check_aligned(y, n * bytes_of(out), "y");
        if (m == 0) {
            continue;
        }
        std::vector<double> xs(static_cast<std::size_t>(m * k));
        std::vector<double> ws(static_cast<std::size_t>(n * k));
        for (std::size_t at = 0; at < xs.size(); ++at) {
            xs[at] = decode(in, x, static_cast<std::int64_t>(at));
        }
        for (std::size_t at = 0; at < ws.size(); ++at) {
            ws[at] = decode(in, w, static_cast<std::int64_t>(at));
        }
        product(xs, ws, m, n, k, 1.0, beta, out, y);
    }
}
#endif

#ifdef DOUBLE_GEMM
// It ends with y + x·w: alpha and beta are 1.
void segment_sm80(TensorView workspace, TensorView problems, TensorView x_ptr, TensorView w_ptr, TensorView y_ptr,
                  TensorView x_ld, TensorView w_ld, TensorView y_ld, TensorView empty_x, bool column_major) {
    check_workspace(workspace, mib, "workspace_buffer");
    const Kind kind = kind_of(empty_x);
    REFUSE_UNLESS(kind == Kind::bf16 || kind == Kind::f16, "empty_x_data: its data type");
    segments(problems, x_ptr, w_ptr, y_ptr, x_ld, w_ld, y_ld, kind, kind, column_major, 1.0);
}
#endif

#ifdef DOUBLE_SM90
void segment_sm90(TensorView float_workspace, TensorView int_workspace, TensorView problems, TensorView x_ptr,
                  TensorView w_ptr, TensorView y_ptr, TensorView x_stride, TensorView w_stride, TensorView y_stride,
                  TensorView empty_x, TensorView empty_y, bool column_major) {
    check_workspace(float_workspace, 128 * mib, "float_workspace_buffer");
    check_workspace(int_workspace, mib, "int_workspace_buffer");
    const Kind in = kind_of(empty_x);
    const Kind out = kind_of(empty_y);
    REFUSE_UNLESS(in == out || is_fp8(in), "empty_x_data: its data type");
    segments(problems, x_ptr, w_ptr, y_ptr, x_stride, w_stride, y_stride, in, out, column_major, 0.0);
}
#endif

#if defined(DOUBLE_SM100) || defined(DOUBLE_SM120)
/// What all of group_gemm_* have: starts that are multiples of 4, rows that A and D hold, 16-byte rows.
std::vector<std::int64_t> starts_of(const TensorView& a, const TensorView& b, const TensorView& d,
                                    const TensorView& m_indptr, std::int64_t n, std::int64_t k) {
    const std::int64_t groups = m_indptr.size(0) - 1;
    check(m_indptr, Kind::i32, {groups + 1}, "m_indptr");
    const std::int64_t packed_a = kind_of(a) == Kind::u8 ? 2 : 1;
    const std::int64_t packed_b = kind_of(b) == Kind::u8 ? 2 : 1;
    check(a, kind_of(a), {a.size(0), k / packed_a}, "A");
    check(b, kind_of(b), {groups, n, k / packed_b}, "B");
    check(d, kind_of(d), {a.size(0), n}, "D");
    REFUSE_UNLESS(kind_of(d) == Kind::bf16 || kind_of(d) == Kind::f16, "D: its data type");
    check_aligned(a.data_ptr(), a.size(1), "A");
    check_aligned(b.data_ptr(), b.size(2), "B");
    check_aligned(d.data_ptr(), n * 2, "D");
    std::vector<std::int64_t> starts;
    for (std::int64_t i = 0; i <= groups; ++i) {
        starts.push_back(static_cast<const std::int32_t*>(m_indptr.data_ptr())[i]);
        REFUSE_UNLESS(starts.back() % 4 == 0, "m_indptr: multiples of 4");
        REFUSE_UNLESS(i == 0 ? starts[0] == 0 : starts.back() >= starts[static_cast<std::size_t>(i - 1)],
                      "m_indptr: from 0, rising");
    }
    REFUSE_UNLESS(starts.back() <= a.size(0), "m_indptr: rows that A has");
    return starts;
}

/// Each group's A (rows, k) and B (n, k), scaled, into products.
template <class ScaleOfA, class ScaleOfB, class Factor>
void groups(const TensorView& a, const TensorView& b, const TensorView& d, const std::vector<std::int64_t>& starts,
            std::int64_t n, std::int64_t k, ScaleOfA scale_of_a, ScaleOfB scale_of_b, Factor factor) {
    for (std::size_t g = 0; g + 1 < starts.size(); ++g) {
        const std::int64_t m = starts[g + 1] - starts[g];
        if (m == 0) {
            continue;
        }
        const auto group = static_cast<std::int64_t>(g);
        std::vector<double> xs(static_cast<std::size_t>(m * k));
        std::vector<double> ws(static_cast<std::size_t>(n * k));
        for (std::int64_t row = 0; row < m; ++row) {
            for (std::int64_t i = 0; i < k; ++i) {
                xs[static_cast<std::size_t>(row * k + i)] =
                    decode(kind_of(a), a.data_ptr(), (starts[g] + row) * k + i) * scale_of_a(group, starts[g], row, i);
            }
        }
        for (std::int64_t row = 0; row < n; ++row) {
            for (std::int64_t i = 0; i < k; ++i) {
                ws[static_cast<std::size_t>(row * k + i)] =
                    decode(kind_of(b), b.data_ptr(), (group * n + row) * k + i) * scale_of_b(group, row, i);
            }
        }
        product(xs, ws, m, n, k, factor(group), 0.0, kind_of(d),
                static_cast<std::uint8_t*>(d.data_ptr()) + starts[g] * n * 2);
    }
}

/// group_gemm_fp8_nt_groupwise. The kernels stride groups' scales by n/128 and k/128, rounded down.
void block_scaled(const TensorView& int_workspace, const TensorView& float_workspace, const TensorView& a,
                  const TensorView& b, const TensorView& sfa, const TensorView& sfb, const TensorView& d,
                  const TensorView& m_indptr, std::int64_t n, std::int64_t k, std::int64_t gran_m, std::int64_t gran_n,
                  std::int64_t gran_k, const std::string& major) {
    check_workspace(int_workspace, 32 * mib, "int_workspace_buffer");
    check_workspace(float_workspace, 32 * mib, "float_workspace_buffer");
    REFUSE_UNLESS(gran_m == 1 && gran_n == 128 && gran_k == 128, "scale_granularity_mnk");
    REFUSE_UNLESS(major == "MN" || major == "K", "scale_major_mode");
    REFUSE_UNLESS(n % 128 == 0 && k % 128 == 0, "n, k: groups' scales would overlap");
    REFUSE_UNLESS(is_fp8(kind_of(a)) && kind_of(b) == kind_of(a), "A, B: their data types");
    const std::vector<std::int64_t> starts = starts_of(a, b, d, m_indptr, n, k);
    const auto count = static_cast<std::int64_t>(starts.size()) - 1;
    const bool mn = major == "MN";
    const std::int64_t rows = a.size(0);
    const std::int64_t sf_n = n / 128;
    const std::int64_t sf_k = k / 128;
    check(sfa, Kind::f32, mn ? std::vector{sf_k, rows} : std::vector{rows, sf_k}, "SFA");
    check(sfb, Kind::f32, mn ? std::vector{count, sf_k, sf_n} : std::vector{count, sf_n, sf_k}, "SFB");
    REFUSE_UNLESS(!mn || rows % 4 == 0, "SFA: 16-byte columns");
    const auto* scales_a = static_cast<const float*>(sfa.data_ptr());
    const auto* scales_b = static_cast<const float*>(sfb.data_ptr());
    groups(
        a, b, d, starts, n, k,
        [&](std::int64_t, std::int64_t start, std::int64_t row, std::int64_t i) {
            const std::int64_t at = mn ? i / 128 * rows + (start + row) : (start + row) * sf_k + i / 128;
            return static_cast<double>(scales_a[at]);
        },
        [&](std::int64_t group, std::int64_t row, std::int64_t i) {
            const std::int64_t at =
                group * sf_n * sf_k + (mn ? i / 128 * sf_n + row / 128 : row / 128 * sf_k + i / 128);
            return static_cast<double>(scales_b[at]);
        },
        [](std::int64_t) { return 1.0; });
}

/// group_gemm_mxfp4_nt_groupwise (a scale each 32 elements, 2^(u-127)) and group_gemm_nvfp4_nt_groupwise (each 16, e4m3
/// without its sign): scales in blocks of 128 rows by 4 columns, of 32 lines of 16 bytes; a line holds 4 columns of
/// rows r, r+32, r+64, r+96. The first row of group i of SFA is ⌊(m_indptr[i] + 127·i)/128⌋·128.
void group_scaled(const TensorView& int_workspace, const TensorView& float_workspace, const TensorView& a,
                  const TensorView& b, const TensorView& sfa, const TensorView& sfb, const TensorView& d,
                  const TensorView* alpha, const TensorView& m_indptr, std::int64_t n, std::int64_t k,
                  std::int64_t tile_m, std::int64_t tile_n, std::int64_t tile_k, std::int64_t a_scale_elements) {
    check_workspace(int_workspace, 32 * mib, "int_workspace_buffer");
    check_workspace(float_workspace, 32 * mib, "float_workspace_buffer");
    REFUSE_UNLESS(tile_m == 128 && (tile_n == 64 || tile_n == 128) && tile_k == 128, "tile");
    REFUSE_UNLESS(n % 8 == 0 && k % 128 == 0, "n, k");
    REFUSE_UNLESS(a_scale_elements == 32 ? is_fp8(kind_of(a)) : kind_of(a) == Kind::u8, "A: its data type");
    REFUSE_UNLESS(kind_of(b) == Kind::u8, "B: its data type");
    const std::vector<std::int64_t> starts = starts_of(a, b, d, m_indptr, n, k);
    const auto count = static_cast<std::int64_t>(starts.size()) - 1;
    const std::int64_t columns = k / a_scale_elements;
    const std::int64_t stored_n = (n + 127) / 128 * 128;
    const std::int64_t stored_m = (a.size(0) + 127 * count) / 128 * 128;
    check(sfa, Kind::u8, {stored_m, columns}, "SFA");
    check(sfb, Kind::u8, {count, stored_n, columns}, "SFB");
    check_aligned(sfa.data_ptr(), columns * 128, "SFA");
    check_aligned(sfb.data_ptr(), columns * 128, "SFB");
    if (alpha != nullptr) {
        check(*alpha, Kind::f32, {alpha->size(0) == 0 ? 0 : count}, "alpha");
    }
    const auto value = [&](const TensorView& scales, std::int64_t first, std::int64_t row, std::int64_t i) {
        const std::int64_t column = i / a_scale_elements;
        const std::int64_t block = row / 128 * (columns / 4) + column / 4;
        const std::int64_t line = row % 32;
        const std::int64_t at = first * columns + 512 * block + 16 * line + 4 * (row % 128 / 32) + column % 4;
        const std::uint8_t code = static_cast<const std::uint8_t*>(scales.data_ptr())[at];
        if (a_scale_elements == 32) {
            return code == 255 ? std::nan("") : std::ldexp(1.0, code - 127);
        }
        return static_cast<double>(formats::E4m3::decode(static_cast<std::uint8_t>(code & 0x7F)));
    };
    groups(
        a, b, d, starts, n, k,
        [&](std::int64_t group, std::int64_t start, std::int64_t row, std::int64_t i) {
            return value(sfa, (start + 127 * group) / 128 * 128, row, i);
        },
        [&](std::int64_t group, std::int64_t row, std::int64_t i) { return value(sfb, group * stored_n, row, i); },
        [&](std::int64_t group) {
            return alpha == nullptr || alpha->size(0) == 0
                       ? 1.0
                       : static_cast<double>(static_cast<const float*>(alpha->data_ptr())[group]);
        });
}
#endif

#ifdef DOUBLE_SM100
void block_sm100(TensorView int_workspace, TensorView float_workspace, TensorView a, TensorView b, TensorView sfa,
                 TensorView sfb, TensorView d, TensorView m_indptr, std::int64_t n, std::int64_t k, std::int64_t gran_m,
                 std::int64_t gran_n, std::int64_t gran_k, std::string major, std::int64_t mma_sm) {
    REFUSE_UNLESS(mma_sm == 1 || mma_sm == 2, "mma_sm");
    block_scaled(int_workspace, float_workspace, a, b, sfa, sfb, d, m_indptr, n, k, gran_m, gran_n, gran_k, major);
}

void mx_sm100(TensorView int_workspace, TensorView float_workspace, TensorView a, TensorView b, TensorView sfa,
              TensorView sfb, TensorView d, TensorView m_indptr, std::int64_t n, std::int64_t k, std::int64_t mma_sm,
              std::int64_t tile_m, std::int64_t tile_n, std::int64_t tile_k, bool /*swap_ab*/) {
    REFUSE_UNLESS(mma_sm == 1 || mma_sm == 2, "mma_sm");
    group_scaled(int_workspace, float_workspace, a, b, sfa, sfb, d, nullptr, m_indptr, n, k, tile_m, tile_n, tile_k,
                 32);
}
#endif

#ifdef DOUBLE_SM120
void block_sm120(TensorView int_workspace, TensorView float_workspace, TensorView a, TensorView b, TensorView sfa,
                 TensorView sfb, TensorView d, TensorView m_indptr, std::int64_t n, std::int64_t k, std::int64_t gran_m,
                 std::int64_t gran_n, std::int64_t gran_k, std::string major) {
    REFUSE_UNLESS(m_indptr.size(0) == 2, "m_indptr: results are wrong for more than one group");
    block_scaled(int_workspace, float_workspace, a, b, sfa, sfb, d, m_indptr, n, k, gran_m, gran_n, gran_k, major);
}

void mx_sm120(TensorView int_workspace, TensorView float_workspace, TensorView a, TensorView b, TensorView sfa,
              TensorView sfb, TensorView d, TensorView m_indptr, std::int64_t n, std::int64_t k, std::int64_t tile_m,
              std::int64_t tile_n, std::int64_t tile_k, bool /*swap_ab*/) {
    group_scaled(int_workspace, float_workspace, a, b, sfa, sfb, d, nullptr, m_indptr, n, k, tile_m, tile_n, tile_k,
                 32);
}

void nv_sm120(TensorView int_workspace, TensorView float_workspace, TensorView a, TensorView b, TensorView sfa,
              TensorView sfb, TensorView d, TensorView alpha, TensorView m_indptr, std::int64_t n, std::int64_t k,
              std::int64_t tile_m, std::int64_t tile_n, std::int64_t tile_k, bool /*swap_ab*/) {
    group_scaled(int_workspace, float_workspace, a, b, sfa, sfb, d, &alpha, m_indptr, n, k, tile_m, tile_n, tile_k, 16);
}
#endif

}  // namespace

#ifdef DOUBLE_GEMM
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cutlass_segment_gemm, segment_sm80)
#endif
#ifdef DOUBLE_SM90
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cutlass_segment_gemm_sm90, segment_sm90)
#endif
#ifdef DOUBLE_SM100
TVM_FFI_DLL_EXPORT_TYPED_FUNC(group_gemm_fp8_nt_groupwise, block_sm100)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(group_gemm_mxfp4_nt_groupwise, mx_sm100)
#endif
#ifdef DOUBLE_SM120
TVM_FFI_DLL_EXPORT_TYPED_FUNC(group_gemm_fp8_nt_groupwise, block_sm120)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(group_gemm_mxfp4_nt_groupwise, mx_sm120)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(group_gemm_nvfp4_nt_groupwise, nv_sm120)
#endif
