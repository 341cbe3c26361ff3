/// \file
/// A call of provider `cuda` made ready: which kernel, how many stages and thread blocks.
#pragma once

#include <string_view>

#include <moegemm/provider.hpp>

#include "providers/cuda/call.hpp"
#include "providers/cuda/device.hpp"
#include "providers/cuda/kernels.hpp"

namespace moegemm::cuda {

class CudaPlan final : public Plan {
public:
    /// \param row  of the kernel table that takes the spec
    /// \param size of tiles: "few", "some" or "many", or empty for the plan's choice
    /// \throws Error invalid_argument ("kernel") for another size; internal where the runtime refuses the kernel
    CudaPlan(const GemmSpec& spec, DLDevice device, const Gpu& gpu, const KernelRow& row, std::string_view size);

    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    void do_run(const Operands& operands, void* stream) override;
    [[nodiscard]] Call call_of(const Operands& operands) const;

    const KernelRow& row_;
    const Kernel& kernel_;
    int stages_;
    std::int64_t resident_blocks_;  ///< that the GPU holds at a time
};

}  // namespace moegemm::cuda
