#include "providers/cublas/lt_product.hpp"

#include <algorithm>
#include <utility>

#include <moegemm/error.hpp>

namespace moegemm::cublas {
namespace {

/// An object of cuBLASLt's, destroyed at the end of the scope.
template <class Object>
class Owned {
public:
    explicit Owned(api::Status (*destroy)(Object)) : destroy_(destroy) {}
    ~Owned() {
        if (object_ != nullptr) {
            (void)destroy_(object_);
        }
    }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    [[nodiscard]] Object* address() noexcept { return &object_; }
    [[nodiscard]] Object get() const noexcept { return object_; }

private:
    api::Status (*destroy_)(Object);
    Object object_ = nullptr;
};

}  // namespace

struct LtProduct::Layouts {
    Owned<api::MatrixLayout> weights, tokens, y;

    Layouts(const LtFunctions& lt, int experts, const DeviceGroups& groups)
        : weights(lt.destroy_layout), tokens(lt.destroy_layout), y(lt.destroy_layout) {
        const auto create = [&](Owned<api::MatrixLayout>& layout, const std::int32_t* rows,
                                const std::int32_t* columns) {
            check(lt.create_layout(layout.address(), api::type_16bf, experts, rows, columns, rows),
                  "cublasLtGroupedMatrixLayoutCreate");
        };
        create(weights, groups.k, groups.n);
        create(tokens, groups.k, groups.rows);
        create(y, groups.n, groups.rows);
    }
};

LtProduct::LtProduct(const GemmSpec& spec, std::shared_ptr<const Library> library)
    : spec_(spec), library_(std::move(library)) {
    const LtFunctions& lt = *library_->lt;
    Owned<api::MatmulDesc> matmul(lt.destroy_matmul);
    check(lt.create_matmul(matmul.address(), api::compute_32f, api::type_32f), "cublasLtMatmulDescCreate");
    const auto set = [&](int attribute, std::int32_t value) {
        check(lt.set_matmul(matmul.get(), attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
    };
    set(api::matmul_transpose_a, api::transpose);
    set(api::matmul_pointer_mode, api::pointers_on_device);
    check(lt.create(&handle_), "cublasLtCreate");
    matmul_ = std::exchange(*matmul.address(), nullptr);
}

LtProduct::~LtProduct() {
    (void)library_->lt->destroy_matmul(matmul_);
    (void)library_->lt->destroy(handle_);
}

api::Algorithm LtProduct::chosen(const Layouts& layouts, std::size_t bytes) {
    const LtFunctions& lt = *library_->lt;
    Owned<api::Preference> preference(lt.destroy_preference);
    check(lt.create_preference(preference.address()), "cublasLtMatmulPreferenceCreate");
    const auto set = [&](int attribute, std::int64_t value) {
        check(lt.set_preference(preference.get(), attribute, &value, sizeof value),
              "cublasLtMatmulPreferenceSetAttribute");
    };
    set(api::preference_workspace, static_cast<std::int64_t>(bytes));
    set(api::preference_average_rows, spec_.n);
    set(api::preference_average_columns, std::max<std::int64_t>(spec_.max_rows / spec_.experts, 1));
    set(api::preference_average_k, spec_.k);
    api::HeuristicResult result{};
    int found = 0;
    const api::Status status = lt.choose(handle_, matmul_, layouts.weights.get(), layouts.tokens.get(), layouts.y.get(),
                                         layouts.y.get(), preference.get(), 1, &result, &found);
    if (status == api::not_supported || (status == 0 && found == 0)) {
        throw Error(ErrorCode::unsupported, "cuBLASLt", "no kernel",
                    "a GPU and sizes that its grouped product has one for");
    }
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    return result.algorithm;
}

void LtProduct::run(const DeviceGroups& groups, void* workspace, std::size_t bytes, api::Stream stream) {
    const LtFunctions& lt = *library_->lt;
    const Layouts layouts(lt, static_cast<int>(spec_.experts), groups);
    std::call_once(once_, [&] { algorithm_ = chosen(layouts, bytes); });
    check(lt.multiply(handle_, matmul_, groups.alpha, groups.weights, layouts.weights.get(), groups.tokens,
                      layouts.tokens.get(), groups.beta, groups.y, layouts.y.get(), groups.y, layouts.y.get(),
                      &algorithm_, workspace, bytes, stream),
          "cublasLtMatmul");
}

}  // namespace moegemm::cublas
