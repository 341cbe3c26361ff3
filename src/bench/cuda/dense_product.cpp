#include "bench/cuda/dense_product.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include <dlfcn.h>

#include <library_types.h>

#include "bench/cuda/memory.hpp"
#include "bench/cuda/operand_fill.hpp"
#include "bench/timing.hpp"
#include "cuda/error.hpp"

namespace moegemm::bench::cuda {
namespace {

/// What is used of cuBLASLt's C interface (cublasLt.h, the same in versions 12 and 13). The header comes with the
/// library, which need not be installed where this is built. Functions return 0 where they succeeded.
namespace lt {

constexpr int compute_32f = 68;              // CUBLAS_COMPUTE_32F
constexpr int op_t = 1;                      // CUBLAS_OP_T
constexpr int desc_transa = 3;               // CUBLASLT_MATMUL_DESC_TRANSA
constexpr int desc_fast_accum = 25;          // CUBLASLT_MATMUL_DESC_FAST_ACCUM
constexpr int preference_max_workspace = 1;  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES

struct Algorithm {
    std::uint64_t data[8];
};
struct Heuristic {
    Algorithm algorithm;
    std::size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
};
static_assert(sizeof(Heuristic) == 96);

using Opaque = void*;

}  // namespace lt

constexpr std::int64_t workspace_bytes = std::int64_t{64} << 20;

}  // namespace

struct DenseProduct::Library {
    lt::Opaque handle = nullptr;
    int (*create)(lt::Opaque*) = nullptr;
    int (*destroy)(lt::Opaque) = nullptr;
    int (*desc_create)(lt::Opaque*, int compute, int scale_type) = nullptr;
    int (*desc_set)(lt::Opaque, int attribute, const void*, std::size_t) = nullptr;
    int (*desc_destroy)(lt::Opaque) = nullptr;
    int (*layout_create)(lt::Opaque*, int type, std::uint64_t rows, std::uint64_t columns, std::int64_t ld) = nullptr;
    int (*layout_destroy)(lt::Opaque) = nullptr;
    int (*preference_create)(lt::Opaque*) = nullptr;
    int (*preference_set)(lt::Opaque, int attribute, const void*, std::size_t) = nullptr;
    int (*preference_destroy)(lt::Opaque) = nullptr;
    int (*heuristics)(lt::Opaque handle, lt::Opaque desc, lt::Opaque a, lt::Opaque b, lt::Opaque c, lt::Opaque d,
                      lt::Opaque preference, int wanted, lt::Heuristic* results, int* count) = nullptr;
    int (*matmul)(lt::Opaque handle, lt::Opaque desc, const void* alpha, const void* a, lt::Opaque a_layout,
                  const void* b, lt::Opaque b_layout, const void* beta, const void* c, lt::Opaque c_layout, void* d,
                  lt::Opaque d_layout, const lt::Algorithm*, void* workspace, std::size_t workspace_bytes,
                  cudaStream_t) = nullptr;

    ~Library() {
        if (handle != nullptr) {
            destroy(handle);
        }
    }

    /// The library stays loaded: it keeps threads and contexts of its own.
    bool open() {
        void* library = nullptr;
        for (const char* const file : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
            library = library == nullptr ? dlopen(file, RTLD_NOW | RTLD_LOCAL) : library;
        }
        bool complete = library != nullptr;
        const auto find = [&](const char* name, auto& function) {
            if (complete) {
                function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
                complete = function != nullptr;
            }
        };
        find("cublasLtCreate", create);
        find("cublasLtDestroy", destroy);
        find("cublasLtMatmulDescCreate", desc_create);
        find("cublasLtMatmulDescSetAttribute", desc_set);
        find("cublasLtMatmulDescDestroy", desc_destroy);
        find("cublasLtMatrixLayoutCreate", layout_create);
        find("cublasLtMatrixLayoutDestroy", layout_destroy);
        find("cublasLtMatmulPreferenceCreate", preference_create);
        find("cublasLtMatmulPreferenceSetAttribute", preference_set);
        find("cublasLtMatmulPreferenceDestroy", preference_destroy);
        find("cublasLtMatmulAlgoGetHeuristic", heuristics);
        find("cublasLtMatmul", matmul);
        return complete && create(&handle) == 0;
    }
};

namespace {

/// An object of the library, destroyed by its own function.
class Owned {
public:
    explicit Owned(int (*destroy)(lt::Opaque)) : destroy_(destroy) {}
    ~Owned() {
        if (object_ != nullptr) {
            destroy_(object_);
        }
    }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    [[nodiscard]] lt::Opaque* out() { return &object_; }
    [[nodiscard]] lt::Opaque get() const { return object_; }

private:
    int (*destroy_)(lt::Opaque);
    lt::Opaque object_ = nullptr;
};

}  // namespace

DenseProduct::DenseProduct(const Stream& stream, CallTimer& timer)
    : library_(std::make_unique<Library>()), stream_(stream), timer_(timer) {
    if (!library_->open()) {
        library_.reset();
    }
}

DenseProduct::~DenseProduct() = default;

std::optional<double> DenseProduct::microseconds(std::int64_t m, std::int64_t n, std::int64_t k, DType element,
                                                 CacheRule rule) {
    const std::int64_t size = info(element).bytes;
    // Each limit keeps the next product within 64 bits.
    constexpr std::int64_t limit = std::int64_t{1} << 30;
    if (!library_ || m <= 0 || m > limit || n > limit || k > limit ||
        (m * k + n * k) * size + 2 * m * n + workspace_bytes + timer_.bytes_to_allocate(rule) + (1 << 20) >
            free_bytes()) {
        return std::nullopt;
    }
    // Column by column, as cuBLAS reads: W is (K, N) and to be transposed, A is (K, M), y is (N, M).
    Library& library = *library_;
    Owned desc(library.desc_destroy);
    Owned w_layout(library.layout_destroy);
    Owned a_layout(library.layout_destroy);
    Owned y_layout(library.layout_destroy);
    Owned preference(library.preference_destroy);
    const int type = element == DType::e4m3 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    const int transposed = lt::op_t;
    const std::int8_t fast_accumulation = 0;
    const std::uint64_t most_workspace = workspace_bytes;
    const auto u = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
    std::array<lt::Heuristic, 8> found{};
    int count = 0;
    const bool accepted =
        library.desc_create(desc.out(), lt::compute_32f, CUDA_R_32F) == 0 &&
        library.desc_set(desc.get(), lt::desc_transa, &transposed, sizeof transposed) == 0 &&
        library.desc_set(desc.get(), lt::desc_fast_accum, &fast_accumulation, sizeof fast_accumulation) == 0 &&
        library.layout_create(w_layout.out(), type, u(k), u(n), k) == 0 &&
        library.layout_create(a_layout.out(), type, u(k), u(m), k) == 0 &&
        library.layout_create(y_layout.out(), CUDA_R_16BF, u(n), u(m), n) == 0 &&
        library.preference_create(preference.out()) == 0 &&
        library.preference_set(preference.get(), lt::preference_max_workspace, &most_workspace,
                               sizeof most_workspace) == 0 &&
        library.heuristics(library.handle, desc.get(), w_layout.get(), a_layout.get(), y_layout.get(), y_layout.get(),
                           preference.get(), static_cast<int>(found.size()), found.data(), &count) == 0;
    if (!accepted || count <= 0) {
        return std::nullopt;
    }

    const std::shared_ptr<void> a = allocate(m * k * size);
    const std::shared_ptr<void> w = allocate(n * k * size);
    const std::shared_ptr<void> y = allocate(m * n * 2);
    const std::shared_ptr<void> workspace = allocate(workspace_bytes);
    fill_in_order({.seed = 0, .stream = 0, .dtype = element, .exponent = 0}, a.get(), m * k, stream_.get());
    fill_in_order({.seed = 0, .stream = 1, .dtype = element, .exponent = 0}, w.get(), n * k, stream_.get());
    const float one = 1;
    const float zero = 0;
    bool failed = false;
    const auto sample = [&](const lt::Heuristic& way) {
        return timer_.time(rule, [&] {
            failed = library.matmul(library.handle, desc.get(), &one, w.get(), w_layout.get(), a.get(), a_layout.get(),
                                    &zero, y.get(), y_layout.get(), y.get(), y_layout.get(), &way.algorithm,
                                    workspace.get(), workspace_bytes, stream_.get()) != 0;
        });
    };
    const lt::Heuristic* best = nullptr;
    double best_us = 0;
    for (int i = 0; i < count; ++i) {
        const lt::Heuristic& way = found[static_cast<std::size_t>(i)];
        if (way.state != 0) {
            continue;
        }
        (void)sample(way);  // loads its code
        for (int repeat = 0; repeat < 3 && !failed; ++repeat) {
            const double microseconds = sample(way);
            if (!failed && (best == nullptr || microseconds < best_us)) {
                best = &way;
                best_us = microseconds;
            }
        }
    }
    if (best == nullptr) {
        return std::nullopt;
    }
    constexpr StoppingRule rule_of_samples{.min_samples = 11, .min_seconds = 0.02, .max_seconds = 0.25};
    const double median = sample_until(
                              rule_of_samples, [&] { return sample(*best); }, steady_seconds, nullptr)
                              .median;
    return failed ? std::nullopt : std::optional(median);
}

}  // namespace moegemm::bench::cuda
