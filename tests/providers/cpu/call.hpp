/// \file
/// One call of the op for tests of the provider `cpu`: random tensors at the very end of allocations of their own size,
/// a poisoned y between guard bytes, and how a result is held against the reference.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <moegemm/provider.hpp>

namespace moegemm::test {

/// Bytes that start at a multiple of 64 and end where their allocation ends, so that a sanitizer sees any byte read or
/// written behind them; before them lie 64 guard bytes.
class ExactBuffer {
public:
    explicit ExactBuffer(std::size_t bytes, std::uint8_t fill = 0);
    [[nodiscard]] std::uint8_t* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool guard_intact() const noexcept;

private:
    struct Free {
        void operator()(void* memory) const noexcept;
    };
    std::unique_ptr<std::uint8_t, Free> memory_;
    std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

/// What a random call is drawn from.
struct CallOptions {
    std::int64_t most_experts = 6;
    std::int64_t most_rows = 40;  ///< of an expert; a third of the experts are empty
    std::int64_t most_n = 200;
    std::int64_t most_k = 600;
    std::uint8_t lowest_ue8m0 = 122;
    std::uint8_t highest_ue8m0 = 137;
};

/// A spec with random sizes, dst, layout, alpha and 8-bit formats.
[[nodiscard]] Problem random_problem(Variant variant, std::mt19937_64& random, const CallOptions& options);

/// A problem's tensors, filled with random codes of finite numbers that are rarely zero.
class Call {
public:
    Call(Problem problem, std::mt19937_64& random, const CallOptions& options = {});
    Call(Call&&) = default;

    [[nodiscard]] const Problem& problem() const noexcept { return problem_; }
    [[nodiscard]] const GemmSpec& spec() const noexcept { return problem_.spec(); }
    [[nodiscard]] const Operands& operands() const noexcept { return operands_; }
    [[nodiscard]] std::uint8_t* bytes(Role role) const;

    /// The result before its rounding, and with it, for each element, the sum of the products' magnitudes.
    struct Expected {
        std::vector<double> y;
        std::vector<double> magnitude;
    };
    [[nodiscard]] Expected expected() const;

private:
    Problem problem_;
    std::vector<ExactBuffer> buffers_;
    std::vector<Role> roles_;
    Operands operands_;
};

/// How a call is run.
struct RunOptions {
    std::string kernel;
    int threads = 1;
    bool packed = true;
};

/// Plans, packs and runs; the weights are withheld where they are packed. Fails the test where a guard is touched or a
/// workspace is too small.
/// \return y's bytes
[[nodiscard]] std::vector<std::uint8_t> run_call(const Provider& provider, const GemmSpec& spec,
                                                 const Operands& operands, const RunOptions& options);
/// On the provider `cpu`.
[[nodiscard]] std::vector<std::uint8_t> run_cpu(const GemmSpec& spec, const Operands& operands,
                                                const RunOptions& options);
[[nodiscard]] std::vector<std::uint8_t> run_cpu(const Call& call, const RunOptions& options);

/// Every variant, in the table's order.
[[nodiscard]] std::vector<Variant> all_variants();

/// The kernel families of this machine, by name.
[[nodiscard]] std::vector<std::string> kernel_names();

/// These and the emulated ones.
[[nodiscard]] std::vector<std::string> testable_kernels();

/// \param options the kernel may be an emulated one
[[nodiscard]] std::unique_ptr<Plan> make_plan(const GemmSpec& spec, const RunOptions& options);

/// How far a result may be off: relative to the norm of all of y, and in each row relative to its largest element.
struct Tolerance {
    double norm = 0;
    double row = 0;
    static constexpr double cancelled_f32 = 0x1p-20;
    double cancelled = cancelled_f32;  ///< of the products' magnitudes, where those are given
};
[[nodiscard]] Tolerance tolerance_of(DType dst);

/// Fails the test where y does not conform: NaN and infinities exactly where they are expected, all else within the
/// tolerance.
/// \param expected  (rows, n) before rounding
/// \param magnitude likewise the sums of the products' magnitudes: a row's error may also be a part of its largest
///                  (Tolerance::cancelled), which is what f32 sums leave where their terms cancel; empty for none
void expect_conforms(const std::vector<std::uint8_t>& y, DType dst, std::int64_t n, const std::vector<double>& expected,
                     const std::vector<double>& magnitude, Tolerance tolerance, const std::string& what);

/// One line that names a call.
[[nodiscard]] std::string describe(const Problem& problem, const RunOptions& options);

}  // namespace moegemm::test
