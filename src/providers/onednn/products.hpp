/// \file
/// The products of one expert by oneDNN: one primitive for every number of rows, made where it is first met.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include <moegemm/problem.hpp>

#include "providers/onednn/library.hpp"

namespace moegemm::onednn {

/// What the products of a spec have in common.
struct ProductTypes {
    int a;
    int w;
    int sum;          ///< what oneDNN writes
    DType sum_dtype;  ///< the same
    bool writes_y;    ///< whether that is y itself, and nothing is left to do

    [[nodiscard]] static ProductTypes of(const GemmSpec& spec);
};

/// A product of some rows of A and one expert's weights.
struct Product {
    Owned<api::MemoryDescObject> a;
    Owned<api::MemoryDescObject> sum;
    Owned<api::PrimitiveObject> primitive;
};

/// In which order the weights lie.
struct WeightOrder {
    Owned<api::MemoryDescObject> desc;  ///< of one expert; null where oneDNN has fast code for none
    std::string implementation;         ///< what multiplies them
    std::string reason;                 ///< why there is none
};

/// The tensor's own order, (N, K) row by row.
[[nodiscard]] WeightOrder plain_order(const Library& library, const GemmSpec& spec);
/// The order that oneDNN asks for, where its fast code takes it for any number of rows.
[[nodiscard]] WeightOrder packed_order(const Library& library, const GemmSpec& spec);

/// The primitives for one order of the weights. Thread-safe. Holds those used last: a plan whose row counts keep
/// changing would otherwise hold one for each that ever occurred.
class Products {
public:
    static constexpr std::size_t most = 512;

    /// \param threads of the plan: primitives are made for a number of threads
    Products(std::shared_ptr<const Library> library, const GemmSpec& spec, api::ConstMemoryDesc weights);

    /// \throws Error unsupported ("m_indptr") where oneDNN would multiply so many rows by its reference code
    [[nodiscard]] std::shared_ptr<const Product> of(std::int64_t rows);

private:
    struct Entry {
        std::int64_t rows;
        std::shared_ptr<const Product> product;
    };

    std::shared_ptr<const Library> library_;
    GemmSpec spec_;
    Owned<api::MemoryDescObject> weights_;
    std::mutex mutex_;         // guards what follows
    std::list<Entry> recent_;  // the one used last first
    std::unordered_map<std::int64_t, std::list<Entry>::iterator> by_rows_;
};

}  // namespace moegemm::onednn
