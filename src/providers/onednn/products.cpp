#include "providers/onednn/products.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

namespace moegemm::onednn {
namespace {

bool is_reference(std::string_view implementation) { return implementation.starts_with("ref"); }

/// A product's description and what would run it.
struct Described {
    Owned<api::MemoryDescObject> a;
    Owned<api::MemoryDescObject> sum;
    Owned<api::PrimitiveDescObject> desc;
    std::string reason;  ///< why there is no fast code
};

Described describe(const Library& library, const GemmSpec& spec, std::int64_t rows, api::ConstMemoryDesc weights) {
    const ProductTypes types = ProductTypes::of(spec);
    Owned<api::MemoryDescObject> a = library.matrix(rows, spec.k, types.a, spec.k, 1);
    Owned<api::MemoryDescObject> sum = library.matrix(rows, spec.n, types.sum, spec.n, 1);
    Owned<api::PrimitiveDescObject> desc = library.product(a.get(), weights, sum.get());
    std::string reason;
    if (desc == nullptr) {
        reason = fmt::format("oneDNN {} has no product of {} and {} to {} for this CPU", library.version(),
                             info(spec.a).name, info(spec.w).name, info(types.sum_dtype).name);
    } else if (const std::string name = library.implementation(desc.get()); is_reference(name)) {
        reason = fmt::format("oneDNN {} would multiply {} rows of {} and {} by its reference code ({})",
                             library.version(), rows, info(spec.a).name, info(spec.w).name, name);
    }
    return {std::move(a), std::move(sum), std::move(desc), std::move(reason)};
}

/// Row counts that stand for all: what experts have when rows are spread evenly, and both ends.
std::array<std::int64_t, 3> sample_rows(const GemmSpec& spec) {
    const std::int64_t most = std::max<std::int64_t>(spec.max_rows, 1);
    return {std::max<std::int64_t>(most / spec.experts, 1), most, 1};
}

/// Looks whether weights of this order are multiplied by fast code, whatever the number of rows.
WeightOrder check_order(const Library& library, const GemmSpec& spec, Owned<api::MemoryDescObject> desc) {
    std::string implementation;
    for (const std::int64_t rows : sample_rows(spec)) {
        Described product = describe(library, spec, rows, desc.get());
        if (!product.reason.empty()) {
            return {{nullptr, nullptr}, "", std::move(product.reason)};
        }
        if (implementation.empty()) {
            implementation = library.implementation(product.desc.get());
        }
    }
    return {std::move(desc), std::move(implementation), ""};
}

}  // namespace

ProductTypes ProductTypes::of(const GemmSpec& spec) {
    if (spec.a == DType::i8) {
        return {type_code(spec.a), type_code(spec.w), type_code(DType::i32), DType::i32, false};
    }
    const bool is_final = spec.row().scaling == Scaling::none && !spec.has_alpha && spec.dst != DType::f16;
    const DType sum = is_final ? spec.dst : DType::f32;
    return {type_code(spec.a), type_code(spec.w), type_code(sum), sum, is_final};
}

WeightOrder plain_order(const Library& library, const GemmSpec& spec) {
    return check_order(library, spec, library.matrix(spec.k, spec.n, type_code(spec.w), 1, spec.k));
}

WeightOrder packed_order(const Library& library, const GemmSpec& spec) {
    const Owned<api::MemoryDescObject> any = library.any_matrix(spec.k, spec.n, type_code(spec.w));
    WeightOrder order{{nullptr, nullptr}, "", ""};
    for (const std::int64_t rows : sample_rows(spec)) {
        const Described product = describe(library, spec, rows, any.get());
        if (product.reason.empty()) {
            order = check_order(library, spec, library.copy(library.weights_of(product.desc.get())));
            if (order.desc != nullptr) {
                return order;
            }
        } else {
            order.reason = product.reason;
        }
    }
    return order;
}

Products::Products(std::shared_ptr<const Library> library, const GemmSpec& spec, api::ConstMemoryDesc weights)
    : library_(std::move(library)), spec_(spec), weights_(library_->copy(weights)) {}

std::shared_ptr<const Product> Products::of(std::int64_t rows) {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_rows_.find(rows); found != by_rows_.end()) {
        recent_.splice(recent_.begin(), recent_, found->second);
        return recent_.front().product;
    }
    Described described = describe(*library_, spec_, rows, weights_.get());
    if (!described.reason.empty()) {
        throw Error(ErrorCode::unsupported, "m_indptr", fmt::format("an expert with {} rows", rows),
                    std::move(described.reason));
    }
    Owned<api::PrimitiveObject> primitive = library_->primitive(described.desc.get());
    if (recent_.size() == most) {
        by_rows_.erase(recent_.back().rows);
        recent_.pop_back();
    }
    recent_.push_front({rows, std::make_shared<Product>(
                                  Product{std::move(described.a), std::move(described.sum), std::move(primitive)})});
    by_rows_[rows] = recent_.begin();
    return recent_.front().product;
}

}  // namespace moegemm::onednn
