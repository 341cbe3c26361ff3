#include "providers/cpu/call.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <moegemm/formats/formats.hpp>
#include <moegemm/reference.hpp>

#include "providers/cpu/emulated_tiles.hpp"
#include "providers/cpu/kernels/dispatch.hpp"
#include "providers/cpu/plan.hpp"
#include "providers/cpu/provider.hpp"

namespace moegemm::test {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::uint8_t guard = 0x5A;
constexpr std::uint8_t poison = 0xFF;  // a NaN in every type that y may have

std::uint8_t finite_code(DType dtype, std::mt19937_64& random, const CallOptions& options) {
    const auto code = static_cast<std::uint8_t>(random() >> 24);
    switch (dtype) {
        case DType::ue8m0:
            return static_cast<std::uint8_t>(options.lowest_ue8m0 +
                                             code % (options.highest_ue8m0 - options.lowest_ue8m0 + 1));
        case DType::e4m3:
        case DType::ue4m3:  // its bit 7 is ignored
            return (code & 0x7FU) == 0x7FU ? std::uint8_t{0x38} : code;
        case DType::e5m2:
            return (code & 0x7CU) == 0x7CU ? std::uint8_t{0x3C} : code;
        default:
            return code;  // int8 and e2m1x2 have no code that is not a number
    }
}

void fill(const TensorSpec& tensor, std::uint8_t* bytes, std::mt19937_64& random, const CallOptions& options) {
    const auto count = static_cast<std::size_t>(tensor.bytes / info(tensor.dtype).bytes);
    if (tensor.dtype == DType::f32) {
        for (std::size_t i = 0; i < count; ++i) {
            const auto mantissa = static_cast<float>(random() % 4096) / 4096.0F;
            const float value = std::ldexp(1.0F + mantissa, static_cast<int>(random() % 7) - 5);
            std::memcpy(bytes + i * sizeof value, &value, sizeof value);
        }
    } else if (tensor.dtype == DType::bf16) {
        for (std::size_t i = 0; i < count; ++i) {  // ±2^-7 … 2^8
            const auto code = static_cast<std::uint16_t>((random() & 0x8000U) | (0x3C00U + random() % 0x780U));
            std::memcpy(bytes + i * sizeof code, &code, sizeof code);
        }
    } else {
        std::generate_n(bytes, count, [&] { return finite_code(tensor.dtype, random, options); });
    }
}

double value_at(const std::vector<std::uint8_t>& y, DType dst, std::size_t index) {
    if (dst == DType::f32) {
        float value = 0;
        std::memcpy(&value, y.data() + 4 * index, sizeof value);
        return static_cast<double>(value);
    }
    std::uint16_t code = 0;
    std::memcpy(&code, y.data() + 2 * index, sizeof code);
    return static_cast<double>(dst == DType::bf16 ? formats::Bf16::decode(code) : formats::F16::decode(code));
}

/// The exact result rounded once.
double rounded(double value, DType dst) {
    const auto single = static_cast<float>(value);
    switch (dst) {
        case DType::bf16:
            return static_cast<double>(formats::Bf16::decode(formats::Bf16::encode(single)));
        case DType::f16:
            return static_cast<double>(formats::F16::decode(formats::F16::encode(single)));
        default:
            return static_cast<double>(single);
    }
}

/// From here on a magnitude rounds to infinity.
double overflow_of(DType dst) {
    switch (dst) {
        case DType::f16:
            return 65520.0;
        case DType::bf16:
            return std::ldexp(1.0 - std::ldexp(1.0, -9), 128);
        default:
            return std::ldexp(1.0 - std::ldexp(1.0, -25), 128);
    }
}

/// Half of the smallest number: what rounding may change near zero.
double half_quantum_of(DType dst) {
    return std::ldexp(1.0, dst == DType::f16 ? -25 : dst == DType::bf16 ? -134 : -150);
}

void multiply_blocks(std::span<double> values, std::span<const double> scales) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] *= scales[i / 128];
    }
}

}  // namespace

void ExactBuffer::Free::operator()(void* memory) const noexcept { std::free(memory); }

ExactBuffer::ExactBuffer(std::size_t bytes, std::uint8_t fill_byte) : size_(bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, bytes + alignment) != 0) {
        throw std::bad_alloc();
    }
    memory_.reset(static_cast<std::uint8_t*>(memory));
    data_ = memory_.get() + alignment;
    std::memset(memory_.get(), guard, alignment);
    std::memset(data_, fill_byte, bytes);
}

bool ExactBuffer::guard_intact() const noexcept {
    return std::all_of(memory_.get(), data_, [](std::uint8_t byte) { return byte == guard; });
}

Problem random_problem(Variant variant, std::mt19937_64& random, const CallOptions& options) {
    const auto below = [&](std::int64_t limit) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
    };
    const VariantInfo& row = info(variant);
    GemmSpec spec;
    spec.variant = variant;
    spec.a = row.a == DType::e4m3 && below(3) == 0 ? DType::e5m2 : row.a;
    spec.w = row.w == DType::e4m3 && below(3) == 0 ? DType::e5m2 : row.w;
    spec.dst = std::array{DType::bf16, DType::f16, DType::f32}[static_cast<std::size_t>(below(3))];
    const auto layouts = std::count_if(row.layouts.begin(), row.layouts.end(),
                                       [](ScaleLayout layout) { return layout != ScaleLayout::none; });
    spec.scale_layout = row.layouts[static_cast<std::size_t>(below(std::max<std::int64_t>(layouts, 1)))];
    spec.has_alpha = row.alpha != Alpha::none && below(2) == 0;
    spec.experts = 1 + below(options.most_experts);
    spec.n = 1 + below(options.most_n);
    spec.k = row.k_granularity * (1 + below(options.most_k / row.k_granularity));
    std::vector<std::int32_t> m_indptr{0};
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        std::int64_t rows = 0;
        if (below(3) != 0) {
            rows = 1 + below(below(2) == 0 ? 5 : options.most_rows);  // few rows have kernels of their own
        }
        m_indptr.push_back(m_indptr.back() + static_cast<std::int32_t>(rows));
    }
    return Problem::from(spec, m_indptr);
}

Call::Call(Problem problem, std::mt19937_64& random, const CallOptions& options) : problem_(std::move(problem)) {
    for (const TensorSpec& tensor : tensor_specs(problem_.spec(), problem_.rows())) {
        const ExactBuffer& buffer = buffers_.emplace_back(static_cast<std::size_t>(tensor.bytes), poison);
        roles_.push_back(tensor.role);
        if (tensor.role == Role::m_indptr) {
            std::memcpy(buffer.data(), problem_.m_indptr().data(), buffer.size());
        } else if (tensor.role != Role::y) {
            fill(tensor, buffer.data(), random, options);
        }
        operands_[tensor.role] = Tensor(buffer.data(), tensor.dtype, tensor.shape);
    }
}

std::uint8_t* Call::bytes(Role role) const {
    const auto found = std::find(roles_.begin(), roles_.end(), role);
    return found == roles_.end() ? nullptr : buffers_[static_cast<std::size_t>(found - roles_.begin())].data();
}

Call::Expected Call::expected() const {
    const HostOperandRows rows(spec(), operands_, problem_.m_indptr());
    Expected result{reference(problem_, rows), {}};
    const auto k = static_cast<std::size_t>(spec().k);
    const auto n = static_cast<std::size_t>(spec().n);
    result.magnitude.resize(result.y.size());
    std::vector<double> a(k);
    std::vector<double> w(k * n);
    std::vector<double> block_scales(
        spec().row().scaling == Scaling::block ? static_cast<std::size_t>(spec().scale_columns()) : 0);
    for (std::int64_t expert = 0; expert < spec().experts; ++expert) {
        if (problem_.rows_of(expert) == 0) {
            continue;
        }
        for (std::size_t column = 0; column < n; ++column) {
            const std::span<double> values(w.data() + column * k, k);
            rows.w_row(expert, static_cast<std::int64_t>(column), values);
            if (!block_scales.empty()) {
                rows.w_block_scales(expert, static_cast<std::int64_t>(column), block_scales);
                multiply_blocks(values, block_scales);
            }
        }
        const auto e = static_cast<std::size_t>(expert);
        for (std::int64_t row = problem_.m_indptr()[e]; row < problem_.m_indptr()[e + 1]; ++row) {
            rows.a_row(row, expert, a);
            if (!block_scales.empty()) {
                rows.a_block_scales(row, expert, block_scales);
                multiply_blocks(a, block_scales);
            }
            for (std::size_t column = 0; column < n; ++column) {
                double sum = 0;
                for (std::size_t i = 0; i < k; ++i) {
                    sum += std::fabs(a[i] * w[column * k + i]);
                }
                const float scale = rows.token_scale(row) *
                                    rows.channel_scale(expert, static_cast<std::int64_t>(column)) * rows.alpha(expert);
                result.magnitude[static_cast<std::size_t>(row) * n + column] =
                    sum * std::fabs(static_cast<double>(scale));
            }
        }
    }
    return result;
}

std::unique_ptr<Plan> make_plan(const GemmSpec& spec, const RunOptions& options) {
    for (const cpu::KernelFamily* emulated : emulated_families()) {
        if (options.kernel == emulated->name) {
            return std::make_unique<cpu::CpuPlan>(spec, DLDevice{kDLCPU, 0}, *emulated, options.threads);
        }
    }
    PlanOptions plan_options;
    plan_options.kernel = options.kernel;
    plan_options.threads = options.threads;
    return make_cpu_provider()->plan(spec, plan_options);
}

namespace {

std::vector<std::uint8_t> run_plan(Plan& plan, const Operands& given, bool is_packed) {
    Operands operands = given;
    const ExactBuffer packed(plan.packed_bytes(), poison);
    const ExactBuffer workspace(plan.workspace_bytes(), poison);
    const ExactBuffer y(static_cast<std::size_t>(given.y.bytes()), poison);
    operands.y = Tensor(y.data(), given.y.dtype(), given.y.shape());
    operands.workspace = Tensor(workspace.data(), DType::u8, {static_cast<std::int64_t>(workspace.size())});
    if (is_packed) {
        operands.packed_w = Tensor(packed.data(), DType::u8, {static_cast<std::int64_t>(packed.size())});
        plan.pack(given, operands.packed_w);
        operands.w = Tensor();
        if (info(plan.spec().variant).scaling != Scaling::none) {
            operands.w_scale = Tensor();
        }
    }
    plan.run(operands);
    EXPECT_TRUE(packed.guard_intact() && workspace.guard_intact() && y.guard_intact());
    return {y.data(), y.data() + y.size()};
}

}  // namespace

std::vector<std::uint8_t> run_call(const Provider& provider, const GemmSpec& spec, const Operands& operands,
                                   const RunOptions& options) {
    PlanOptions plan_options;
    plan_options.kernel = options.kernel;
    plan_options.threads = options.threads;
    return run_plan(*provider.plan(spec, plan_options), operands, options.packed);
}

std::vector<std::uint8_t> run_cpu(const GemmSpec& spec, const Operands& given, const RunOptions& options) {
    return run_plan(*make_plan(spec, options), given, options.packed);
}

std::vector<std::uint8_t> run_cpu(const Call& call, const RunOptions& options) {
    return run_cpu(call.spec(), call.operands(), options);
}

std::vector<Variant> all_variants() {
    std::vector<Variant> all;
    for (const VariantInfo& row : variants) {
        all.push_back(row.id);
    }
    return all;
}

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (const cpu::KernelFamily* family : cpu::available_families()) {
        names.emplace_back(family->name);
    }
    return names;
}

std::vector<std::string> testable_kernels() {
    std::vector<std::string> names = kernel_names();
    for (const cpu::KernelFamily* emulated : emulated_families()) {
        names.emplace_back(emulated->name);
    }
    return names;
}

Tolerance tolerance_of(DType dst) {
    switch (dst) {
        case DType::bf16:
            return {0.003, 0.006};
        case DType::f16:
            return {4e-4, 1e-3};
        default:
            return {1e-5, 3e-5};
    }
}

void expect_conforms(const std::vector<std::uint8_t>& y, DType dst, std::int64_t n, const std::vector<double>& expected,
                     const std::vector<double>& magnitude, Tolerance tolerance, const std::string& what) {
    const auto columns = static_cast<std::size_t>(n);
    const double overflow = overflow_of(dst);
    double error_squares = 0;
    double squares = 0;
    double rounding_squares = 0;
    for (std::size_t row = 0; row < expected.size() / columns; ++row) {
        double row_error = 0;
        double row_largest = 0;
        double row_magnitude = 0;
        for (std::size_t i = row * columns; i < (row + 1) * columns; ++i) {
            const double want = expected[i];
            const double got = value_at(y, dst, i);
            if (!magnitude.empty() && std::isfinite(want) && magnitude[i] >= 0x1p127) {
                continue;  // f32 sums may overflow on their way to a finite result
            }
            if (std::isnan(want) || std::isnan(got)) {
                ASSERT_TRUE(std::isnan(want) && std::isnan(got))
                    << what << ": element " << i << " is " << got << ", expected " << want;
                continue;
            }
            const double margin = 1e-4 * overflow + tolerance.cancelled * (magnitude.empty() ? 0 : magnitude[i]);
            if (std::fabs(std::fabs(want) - overflow) < margin) {
                continue;  // sums may fall on either side
            }
            if (tolerance.cancelled > Tolerance::cancelled_f32 && !magnitude.empty() && !std::isfinite(magnitude[i]) &&
                std::isinf(want) && std::isinf(got)) {
                continue;  // an infinite scale of a sum that may cancel: sums of fewer bits do not know its sign
            }
            if (std::fabs(want) >= overflow || std::isinf(got)) {
                ASSERT_TRUE(std::fabs(want) >= overflow && std::isinf(got) && std::signbit(got) == std::signbit(want))
                    << what << ": element " << i << " is " << got << ", expected " << want;
                continue;
            }
            row_error = std::max(row_error, std::fabs(got - want));
            row_largest = std::max(row_largest, std::fabs(want));
            if (!magnitude.empty()) {
                row_magnitude = std::max(row_magnitude, magnitude[i]);
            }
            error_squares += (got - want) * (got - want);
            squares += want * want;
            rounding_squares += std::pow(rounded(want, dst) - want, 2);
        }
        ASSERT_LE(row_error, tolerance.row * row_largest + tolerance.cancelled * row_magnitude + half_quantum_of(dst))
            << what << ": row " << row;
    }
    double magnitude_squares = 0;
    for (const double value : magnitude) {
        magnitude_squares += std::isfinite(value) ? value * value : 0;
    }
    // In a small y one element's rounding may be all of the norm.
    const double allowed = std::max(tolerance.norm * std::sqrt(squares), 1.01 * std::sqrt(rounding_squares));
    ASSERT_LE(std::sqrt(error_squares), allowed + tolerance.cancelled * std::sqrt(magnitude_squares)) << what;
}

std::string describe(const Problem& problem, const RunOptions& options) {
    const GemmSpec& spec = problem.spec();
    return fmt::format("{} {}x{} to {}, {}{}, N {}, K {}, rows {}; {}, {} threads, {}", spec.row().name,
                       info(spec.a).name, info(spec.w).name, info(spec.dst).name, to_string(spec.scale_layout),
                       spec.has_alpha ? ", alpha" : "", spec.n, spec.k, fmt::join(problem.m_indptr(), " "),
                       options.kernel, options.threads, options.packed ? "packed" : "unpacked");
}

}  // namespace moegemm::test
