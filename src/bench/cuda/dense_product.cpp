#include "bench/cuda/dense_product.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

#include <dlfcn.h>

#include <library_types.h>

#include <moegemm/error.hpp>

#include "bench/cuda/memory.hpp"
#include "bench/cuda/operand_fill.hpp"
#include "bench/timing.hpp"

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

/// What the first measurement of a shape found.
struct DenseProduct::Found {
    lt::Algorithm algorithm;  ///< the fastest
    double microseconds;      ///< its median
};

/// A shape as cuBLASLt wants it described, and its operands once they are there.
class DenseProduct::Call {
public:
    Call(const Library& library, const Shape& shape, const Stream& stream)
        : library_(library), shape_(shape), stream_(stream) {
        // Column by column, as cuBLAS reads: W is (K, N) and to be transposed, A is (K, M), y is (N, M).
        const int type = shape.element == DType::e4m3 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
        const int transposed = lt::op_t;
        const std::int8_t fast_accumulation = 0;
        const auto u = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
        described_ =
            library.desc_create(desc_.out(), lt::compute_32f, CUDA_R_32F) == 0 &&
            library.desc_set(desc_.get(), lt::desc_transa, &transposed, sizeof transposed) == 0 &&
            library.desc_set(desc_.get(), lt::desc_fast_accum, &fast_accumulation, sizeof fast_accumulation) == 0 &&
            library.layout_create(w_layout_.out(), type, u(shape.k), u(shape.n), shape.k) == 0 &&
            library.layout_create(a_layout_.out(), type, u(shape.k), u(shape.m), shape.k) == 0 &&
            library.layout_create(y_layout_.out(), CUDA_R_16BF, u(shape.n), u(shape.m), shape.n) == 0;
    }

    [[nodiscard]] static std::int64_t bytes(const Shape& shape) {
        return (shape.m * shape.k + shape.n * shape.k) * info(shape.element).bytes + 2 * shape.m * shape.n +
               workspace_bytes;
    }

    /// What the library's heuristic takes for the fastest algorithms; none where it refuses the shape.
    [[nodiscard]] std::vector<lt::Algorithm> suggestions() const {
        constexpr int most = 8;
        std::array<lt::Heuristic, most> found{};
        int count = 0;
        Owned preference(library_.preference_destroy);
        const std::uint64_t most_workspace = workspace_bytes;
        const bool accepted =
            described_ && library_.preference_create(preference.out()) == 0 &&
            library_.preference_set(preference.get(), lt::preference_max_workspace, &most_workspace,
                                    sizeof most_workspace) == 0 &&
            library_.heuristics(library_.handle, desc_.get(), w_layout_.get(), a_layout_.get(), y_layout_.get(),
                                y_layout_.get(), preference.get(), most, found.data(), &count) == 0;
        std::vector<lt::Algorithm> algorithms;
        for (int i = 0; accepted && i < count; ++i) {
            if (const lt::Heuristic& way = found[static_cast<std::size_t>(i)]; way.state == 0) {
                algorithms.push_back(way.algorithm);
            }
        }
        return algorithms;
    }

    /// \throws Error out_of_memory
    void allocate_operands() {
        const std::int64_t size = info(shape_.element).bytes;
        a_ = allocate(shape_.m * shape_.k * size);
        w_ = allocate(shape_.n * shape_.k * size);
        y_ = allocate(shape_.m * shape_.n * 2);
        workspace_ = allocate(workspace_bytes);
        fill_in_order({.seed = 0, .stream = 0, .dtype = shape_.element, .exponent = 0}, a_.get(), shape_.m * shape_.k,
                      stream_.get());
        fill_in_order({.seed = 0, .stream = 1, .dtype = shape_.element, .exponent = 0}, w_.get(), shape_.n * shape_.k,
                      stream_.get());
    }

    /// \return the library's status: 0 where it took the algorithm
    [[nodiscard]] int enqueue(const lt::Algorithm& algorithm) const {
        const float one = 1;
        const float zero = 0;
        return library_.matmul(library_.handle, desc_.get(), &one, w_.get(), w_layout_.get(), a_.get(), a_layout_.get(),
                               &zero, y_.get(), y_layout_.get(), y_.get(), y_layout_.get(), &algorithm,
                               workspace_.get(), workspace_bytes, stream_.get());
    }

    /// µs of one product by an algorithm that the library took before.
    [[nodiscard]] double time(const lt::Algorithm& algorithm, CallTimer& timer, CacheRule rule) const {
        return timer.time(rule, [&] {
            if (const int status = enqueue(algorithm); status != 0) {
                throw Error(ErrorCode::internal, "cublasLtMatmul", std::to_string(status),
                            "success (0), as of the same product before");
            }
        });
    }

private:
    const Library& library_;
    Shape shape_;
    const Stream& stream_;
    Owned desc_{library_.desc_destroy};
    Owned w_layout_{library_.layout_destroy};
    Owned a_layout_{library_.layout_destroy};
    Owned y_layout_{library_.layout_destroy};
    bool described_ = false;
    std::shared_ptr<void> a_;
    std::shared_ptr<void> w_;
    std::shared_ptr<void> y_;
    std::shared_ptr<void> workspace_;
};

DenseProduct::DenseProduct(const Stream& stream, CallTimer& timer)
    : library_(std::make_unique<Library>()), stream_(stream), timer_(timer) {
    if (!library_->open()) {
        library_.reset();
    }
}

DenseProduct::~DenseProduct() = default;

std::optional<double> DenseProduct::microseconds(const Shape& shape, CacheRule rule) {
    const Found* const found = find(shape, rule);
    return found == nullptr ? std::nullopt : std::optional(found->microseconds);
}

std::function<double()> DenseProduct::sampler(const Shape& shape, CacheRule rule) {
    const Found* const found = find(shape, rule);
    if (found == nullptr) {
        return {};
    }
    const auto call = std::make_shared<Call>(*library_, shape, stream_);
    call->allocate_operands();
    return [this, call, rule, algorithm = found->algorithm] { return call->time(algorithm, timer_, rule); };
}

const DenseProduct::Found* DenseProduct::find(const Shape& shape, CacheRule rule) {
    const auto key = std::pair(shape, rule);
    auto known = known_.find(key);
    if (known == known_.end()) {
        known = known_.emplace(key, measure(shape, rule)).first;
    }
    return known->second.get();
}

std::unique_ptr<const DenseProduct::Found> DenseProduct::measure(const Shape& shape, CacheRule rule) {
    // Each limit keeps the next product within 64 bits.
    constexpr std::int64_t limit = std::int64_t{1} << 30;
    constexpr std::int64_t alignment_bytes = 1 << 20;
    if (!library_ || shape.m <= 0 || shape.m > limit || shape.n > limit || shape.k > limit ||
        Call::bytes(shape) + timer_.bytes_to_allocate(rule) + alignment_bytes > free_bytes()) {
        return nullptr;
    }
    Call call(*library_, shape, stream_);
    struct Trial {
        lt::Algorithm algorithm;
        std::vector<double> samples;
    };
    std::vector<Trial> trials;
    for (const lt::Algorithm& algorithm : call.suggestions()) {
        trials.push_back({algorithm, {}});
    }
    if (trials.empty()) {
        return nullptr;
    }
    call.allocate_operands();
    // The first call loads an algorithm's code, or shows that the library does not take it after all.
    std::erase_if(trials, [&](const Trial& trial) {
        int status = 0;
        (void)timer_.time(rule, [&] { status = call.enqueue(trial.algorithm); });
        return status != 0;
    });
    if (trials.empty()) {
        return nullptr;
    }
    // Clocks fall while matrix work goes on, so the algorithms take turns: each round has one clock for all of them.
    // Some rounds go first, untimed, because the fall is steepest at the start.
    constexpr double warm_up_seconds = 0.05;
    constexpr int rounds = 5;
    const double start = steady_seconds();
    do {
        for (const Trial& trial : trials) {
            (void)call.time(trial.algorithm, timer_, rule);
        }
    } while (steady_seconds() - start < warm_up_seconds);
    for (int round = 0; round < rounds; ++round) {
        for (Trial& trial : trials) {
            trial.samples.push_back(call.time(trial.algorithm, timer_, rule));
        }
    }
    const auto median = [](const Trial& trial) { return summarize(trial.samples, 0).median; };
    const Trial& best = *std::min_element(trials.begin(), trials.end(),
                                          [&](const Trial& a, const Trial& b) { return median(a) < median(b); });
    constexpr StoppingRule rule_of_samples{.min_samples = 11, .min_seconds = 0.02, .max_seconds = 0.25};
    const SampleSummary samples = sample_until(
        rule_of_samples, [&] { return call.time(best.algorithm, timer_, rule); }, steady_seconds, nullptr);
    return std::make_unique<const Found>(Found{best.algorithm, samples.median});
}

}  // namespace moegemm::bench::cuda
