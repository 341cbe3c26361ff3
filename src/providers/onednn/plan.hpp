/// \file
/// A call of the `onednn` provider made ready: a product an expert, one after the other.
#pragma once

#include <optional>

#include <moegemm/provider.hpp>

#include "providers/onednn/products.hpp"

namespace moegemm::onednn {

class OnednnPlan final : public Plan {
public:
    /// \param packed, plain at least one of them has an order
    OnednnPlan(const GemmSpec& spec, DLDevice device, std::shared_ptr<const Library> library, WeightOrder packed,
               WeightOrder plain, int threads);

    [[nodiscard]] std::size_t workspace_bytes() const override { return static_cast<std::size_t>(workspace_bytes_); }
    [[nodiscard]] std::size_t packed_bytes() const override;
    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    void do_pack(const Operands& operands, const Tensor& packed, void* stream) override;
    void do_run(const Operands& operands, void* stream) override;
    /// Where packed weights keep their scales a column, which oneDNN does not know of.
    [[nodiscard]] std::size_t packed_scales_at() const;

    std::shared_ptr<const Library> library_;
    WeightOrder packed_;
    WeightOrder plain_;
    ProductTypes types_;
    std::int64_t weight_bytes_ = 0;  ///< of an expert's packed weights, padded to a cache line
    std::int64_t workspace_bytes_;   ///< the sums of an expert with all rows, where they are not y
    std::optional<Products> packed_products_;
    std::optional<Products> plain_products_;
    int threads_;
};

}  // namespace moegemm::onednn
