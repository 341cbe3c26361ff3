/// \file
/// One call of the op on the GPU for tests: every tensor lies in one block of device memory, between guard bytes, and
/// what a call may not write is compared byte by byte afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/provider.hpp>

#include "gpu_device.hpp"
#include "providers/cpu/call.hpp"

namespace moegemm::test {

/// A GPU provider of the build's plug-in library, or why it cannot be tested here.
struct GpuProvider {
    std::shared_ptr<const Provider> provider;  ///< null where it cannot
    std::string reason;
};
[[nodiscard]] GpuProvider gpu_provider(const std::string& name);

/// Every test of a GPU provider: its parameter is the provider's name, for one of its kernels followed by a slash and
/// the name that PlanOptions::kernel takes. Skipped where there is no GPU.
class GpuTest : public testing::TestWithParam<std::string> {
protected:
    void SetUp() override;
    [[nodiscard]] static bench::Device& device() { return *gpu_device().device; }
    [[nodiscard]] const Provider& provider() const { return *provider_; }
    /// Whether the kernels are our own, which take every spec of a variant that they offer. Libraries of others do not.
    [[nodiscard]] bool is_ours() const;
    /// A problem that the provider rather takes: for others, K and N are rounded up to a multiple of 16.
    [[nodiscard]] Problem for_provider(const Problem& problem) const;
    /// Whether the provider takes a spec. Fails the test where it is ours and does not.
    [[nodiscard]] bool takes(const GemmSpec& spec) const;
    /// The variants that the provider offers.
    [[nodiscard]] std::vector<Variant> variants_offered() const;
    /// \param inexact PlanOptions::inexact
    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, bool inexact = false) const;
    /// How far its results may be off.
    [[nodiscard]] Tolerance tolerance(const GemmSpec& spec, bool inexact = false) const;

private:
    std::shared_ptr<const Provider> provider_;
    std::string kernel_;  ///< empty: the provider's choice
};

/// The parameters, for INSTANTIATE_TEST_SUITE_P: our own kernels, and with them the libraries of others, for tests of
/// what the contract says of both.
[[nodiscard]] std::vector<std::string> gpu_provider_names();
[[nodiscard]] std::vector<std::string> all_gpu_provider_names();
[[nodiscard]] std::string gpu_test_name(const testing::TestParamInfo<std::string>& test);

/// The number in an environment variable, or another where it is not set: how long the tests are.
[[nodiscard]] int number_from_environment(const char* name, int otherwise);

/// See the file. Used by one thread at a time, as the device is.
class GpuCall {
public:
    static constexpr std::uint8_t poison = 0xFF;  ///< of y: NaN in every type that it may have

    /// Copies the inputs of `host`, tensors in host memory, and poisons y.
    /// \param plan  whose workspace it is, too; outlives the call
    /// \param shift bytes by which bases are moved from a multiple of 256, of each tensor a multiple of its element's
    GpuCall(bench::Device& device, Plan& plan, const Operands& host, std::int64_t shift = 0);

    [[nodiscard]] const Operands& operands() const noexcept { return operands_; }
    /// Runs on the device's stream.
    void run();
    /// Writes m_indptr on the device anew; no copy of it is on the host any more.
    void set_m_indptr(const std::vector<std::int32_t>& m_indptr);
    void poison_y();
    /// What a call may find in its workspace.
    void fill_workspace(std::uint8_t value);
    /// Waits, and gives y's bytes. Fails the test where anything but the first `rows` rows of y, the workspace and the
    /// packed weights was written.
    [[nodiscard]] std::vector<std::uint8_t> y(std::int64_t rows);

private:
    struct Part {
        std::string name;
        std::int64_t offset;
        std::int64_t bytes;
        bool writable;
    };
    std::int64_t place(const std::string& name, std::int64_t bytes, std::int64_t shift, bool writable);
    [[nodiscard]] Tensor on_device(const Tensor& tensor, std::int64_t offset) const;

    bench::Device& device_;
    Plan& plan_;
    Operands operands_;
    std::vector<std::int32_t> host_m_indptr_;  ///< what m_indptr was at first, for providers that need it
    std::vector<Part> parts_;
    std::vector<std::uint8_t> image_;  ///< what the device's block should hold where nothing may be written
    std::shared_ptr<void> block_;
    std::int64_t m_indptr_offset_ = 0;
    std::int64_t y_offset_ = 0;
};

/// Plans, runs, and gives y's bytes.
[[nodiscard]] std::vector<std::uint8_t> run_gpu(bench::Device& device, Plan& plan, const Operands& host,
                                                std::int64_t shift = 0);

}  // namespace moegemm::test
