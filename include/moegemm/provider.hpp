/// \file
/// What runs the op: providers, the plans they make, and the registry that finds them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <moegemm/tensor.hpp>

namespace moegemm {

/// How a provider adds up products.
enum class Accumulation : std::uint8_t {
    fp32,          ///< in float32 (int8: exactly)
    promoted_128,  ///< fp8 tensor-core sums of fewer bits, promoted to float32 at least every 128 of K
    fast,          ///< fp8 tensor-core sums of fewer bits over all of K: looser than the contract, for peers only
};
/// What scales a provider takes without loss.
enum class ScaleRange : std::uint8_t {
    full,  ///< all
    bf16,  ///< decoded operands outside bf16's normal range may flush
};
[[nodiscard]] std::string_view to_string(Accumulation value) noexcept;
[[nodiscard]] std::string_view to_string(ScaleRange value) noexcept;

/// What a provider says of one variant.
struct VariantSupport {
    bool offered = false;
    Accumulation accumulation = Accumulation::fp32;
    ScaleRange scale_range = ScaleRange::full;
};

/// What a provider says of itself.
struct ProviderInfo {
    std::string name;
    std::string version;      ///< another one wherever the order of packed weights changes: files of them name it
    std::string description;  ///< one line
    DLDeviceType device_type = kDLCPU;  ///< where its tensors live
    bool needs_host_counts = false;     ///< whether run() refuses to work without Operands::host_m_indptr
    std::string unavailable;  ///< why it cannot work on this machine, with the system's own reason; else empty
    std::array<VariantSupport, variants.size()> support{};  ///< in the variant table's order
    /// Whether the order of packed weights depends on more than the spec's weights and the version (the machine, the
    /// largest M): such weights are good for the plan that packed them alone, and no file of them is written.
    bool packs_for_plan = false;
};

/// An answer with its reason.
struct Support {
    bool supported = true;
    std::string reason;  ///< why not; empty where supported
    [[nodiscard]] static Support yes() { return {}; }
    [[nodiscard]] static Support no(std::string reason) { return {false, std::move(reason)}; }
};

/// What a caller may ask of a plan.
struct PlanOptions {
    DLDevice device{kDLCPU, 0};
    int threads = 0;  ///< CPU: how many to use; 0 is all that the process may run on
    std::string
        kernel;  ///< a kernel family by its name ("avx2"), for tests and comparisons; empty: the provider's choice
    /// Whether operands may be rounded where that lets a faster kernel run, and fp8 sums promoted as promoted_128 says,
    /// whatever the provider declares. Providers that have nothing of the kind ignore it.
    bool inexact = false;
};

/// A call made ready: built once for a spec, run for any row counts up to its largest M. Owns nothing of the caller's.
/// One plan may be run by several threads at once where each has a workspace of its own.
class Plan {
public:
    virtual ~Plan() = default;
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

    [[nodiscard]] const GemmSpec& spec() const noexcept { return spec_; }
    [[nodiscard]] DLDevice device() const noexcept { return device_; }
    /// Bytes of the workspace that run() needs, 0 for none. The base is aligned to 64 bytes (CPU) or 256 (CUDA).
    [[nodiscard]] virtual std::size_t workspace_bytes() const { return 0; }
    /// Bytes of packed weights, 0 where this plan does not pack.
    [[nodiscard]] virtual std::size_t packed_bytes() const { return 0; }
    /// What run() launches, for records.
    [[nodiscard]] virtual std::vector<std::string> kernels() const = 0;

    /// Re-orders weights once, outside of any timed call.
    /// \param operands only w and w_scale are read
    /// \param packed   (packed_bytes()) u8, aligned as a workspace
    /// \throws Error invalid_argument for wrong tensors; unsupported where packed_bytes() is 0
    void pack(const Operands& operands, const Tensor& packed, void* stream = nullptr);

    /// Computes y. Neither allocates nor, on a device, synchronises.
    /// \param operands checked by check_operands before anything is written
    /// \param stream   the device's stream (cudaStream_t); null on a CPU, where the call returns when y is written
    /// \throws Error invalid_argument for wrong tensors, naming the tensor
    void run(const Operands& operands, void* stream = nullptr);

protected:
    Plan(const GemmSpec& spec, DLDevice device) : spec_(spec), device_(device) {}

private:
    virtual void do_pack(const Operands& operands, const Tensor& packed, void* stream);
    virtual void do_run(const Operands& operands, void* stream) = 0;

    GemmSpec spec_;
    DLDevice device_;
};

/// A source of kernels. Thread-safe once built.
class Provider {
public:
    virtual ~Provider() = default;
    [[nodiscard]] virtual const ProviderInfo& info() const = 0;
    /// Whether plan() would succeed for this spec on this machine, or why not. Never throws for a checked spec.
    [[nodiscard]] virtual Support supports(const GemmSpec& spec) const = 0;
    /// \throws Error unsupported with the reason that supports() gives; invalid_argument for an option that is out of
    /// range
    [[nodiscard]] virtual std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const = 0;
};

/// A provider that the project knows of, whether or not it is here.
struct ProviderStatus {
    std::string name;
    std::string description;
    bool available = false;
    std::string reason;  ///< why it is not available
    std::string remedy;  ///< the command or step that would make it available
    std::string source;  ///< "built in", or the path of the plug-in library
};

/// The providers of this process.
class Registry {
public:
    /// With the built-in providers `reference`, `cpu` and `onednn`, and no plug-ins.
    [[nodiscard]] static Registry with_builtin();

    /// \throws Error invalid_argument ("provider") where one of that name is there already
    void add(std::shared_ptr<const Provider> provider, std::string source);

    /// Loads a plug-in library (abi.h) and adds its providers.
    /// \throws Error plugin naming the path: not a library, no entry point, another ABI version, a table that is
    /// incomplete, an
    ///         exception that escaped from it
    void load_plugin(const std::filesystem::path& path);

    /// Loads every library "moegemm_*.so" of a folder, in the order of their names; a missing folder holds none.
    /// \return one error a library that could not be loaded
    std::vector<std::string> load_plugins(const std::filesystem::path& folder);

    /// \throws Error invalid_argument ("provider") with the names that there are
    [[nodiscard]] std::shared_ptr<const Provider> find(std::string_view name) const;
    /// In the order in which they were added.
    [[nodiscard]] std::vector<std::shared_ptr<const Provider>> providers() const;
    /// Every provider that the project knows (reference cpu cuda hopper flashinfer cudnn cublas onednn), then the
    /// others found.
    [[nodiscard]] std::vector<ProviderStatus> status() const;

private:
    struct Entry {
        std::shared_ptr<const Provider> provider;
        std::string source;
    };
    /// A plug-in library that was not loaded: why the providers that it is known to hold are not here.
    struct Refused {
        std::string file;
        std::string reason;
    };
    std::vector<Entry> entries_;
    std::vector<Refused> refused_;
};

}  // namespace moegemm
