/// \file
/// A call of the `cublas` provider made ready, by cuBLASLt's grouped product: row counts stay on the device.
#pragma once

#include <memory>

#include <moegemm/provider.hpp>

#include "providers/cublas/lt_product.hpp"

namespace moegemm::cublas {

class LtPlan final : public Plan {
public:
    /// \param library with cuBLASLt's functions
    LtPlan(const GemmSpec& spec, DLDevice device, std::shared_ptr<const Library> library);

    [[nodiscard]] std::size_t workspace_bytes() const override;
    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    void do_run(const Operands& operands, void* stream) override;

    std::unique_ptr<LtProduct> product_;
};

}  // namespace moegemm::cublas
