#include "providers/gpu/gpu_call.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "provider/plugin_search.hpp"

namespace moegemm::test {
namespace {

constexpr std::int64_t guard_bytes = 512;
constexpr std::uint8_t guard = 0x5A;
constexpr std::int64_t alignment = 256;

constexpr std::array<std::pair<Role, const char*>, role_count> roles{{
    {Role::a, "A"},
    {Role::w, "W"},
    {Role::a_scale, "A's scales"},
    {Role::w_scale, "W's scales"},
    {Role::alpha, "alpha"},
    {Role::m_indptr, "m_indptr"},
    {Role::y, "y"},
}};

/// Never destroyed: CUDA may be gone at the end of the process.
const Registry& gpu_registry() {
    static const Registry* const registry = [] {
        auto made = std::make_unique<Registry>();
        (void)setenv("MOEGEMM_PLUGIN_PATH", MOEGEMM_TEST_GPU_PLUGINS, 0);
        for (const std::string& error : load_default_plugins(*made)) {
            ADD_FAILURE() << error;
        }
        return made.release();
    }();
    return *registry;
}

}  // namespace

GpuProvider gpu_provider(const std::string& name) {
    GpuProvider found;
    if (gpu_device().device == nullptr) {
        found.reason = gpu_device().reason;
        return found;
    }
    try {
        found.provider = gpu_registry().find(name);
        found.reason = found.provider->info().unavailable;
    } catch (const Error& error) {
        found.reason = error.what();
    }
    if (!found.reason.empty()) {
        found.provider.reset();
    }
    return found;
}

std::vector<std::string> gpu_provider_names() {
    // Small problems, as tests have, would meet few_64 only.
    return {"cuda", "hopper", "hopper/few_16", "hopper/few_64", "hopper/some_96", "hopper/many_128", "hopper/many_256"};
}

std::vector<std::string> all_gpu_provider_names() {
    std::vector<std::string> names = gpu_provider_names();
    names.insert(names.end(), {"cublas", "cudnn"});
    return names;
}

std::string gpu_test_name(const testing::TestParamInfo<std::string>& test) {
    std::string name = test.param;
    std::replace(name.begin(), name.end(), '/', '_');
    return name;
}

int number_from_environment(const char* name, int otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::atoi(text);
}

void GpuTest::SetUp() {
    const std::size_t slash = GetParam().find('/');
    GpuProvider found = gpu_provider(GetParam().substr(0, slash));
    kernel_ = slash == std::string::npos ? "" : GetParam().substr(slash + 1);
    if (!found.provider) {
        GTEST_SKIP() << found.reason;
    }
    provider_ = std::move(found.provider);
}

bool GpuTest::is_ours() const {
    const std::vector<std::string> ours = gpu_provider_names();
    return std::find(ours.begin(), ours.end(), GetParam()) != ours.end();
}

Problem GpuTest::for_provider(const Problem& problem) const {
    if (is_ours()) {
        return problem;
    }
    GemmSpec spec = problem.spec();
    spec.n = (spec.n + 15) / 16 * 16;
    spec.k = (spec.k + 15) / 16 * 16;
    return Problem::from(spec, {problem.m_indptr().begin(), problem.m_indptr().end()});
}

bool GpuTest::takes(const GemmSpec& spec) const {
    const Support support = provider().supports(spec);
    EXPECT_TRUE(support.supported || !is_ours()) << support.reason;
    EXPECT_EQ(support.supported, support.reason.empty());
    return support.supported;
}

std::vector<Variant> GpuTest::variants_offered() const {
    std::vector<Variant> offered;
    for (const VariantInfo& row : variants) {
        if (provider().info().support[static_cast<std::size_t>(row.id)].offered) {
            offered.push_back(row.id);
        }
    }
    return offered;
}

std::unique_ptr<Plan> GpuTest::plan(const GemmSpec& spec, bool inexact) const {
    PlanOptions options;
    options.inexact = inexact;
    options.device = device().dl();
    options.kernel = kernel_;
    return provider().plan(spec, options);
}

Tolerance GpuTest::tolerance(const GemmSpec& spec, bool inexact) const {
    const Accumulation declared = provider().info().support[static_cast<std::size_t>(spec.variant)].accumulation;
    const Accumulation accumulation = inexact && declared == Accumulation::fp32 ? Accumulation::promoted_128 : declared;
    Tolerance allowed = tolerance_of(spec.dst);
    if (accumulation == Accumulation::promoted_128) {
        // The tensor cores' sums of 128 products keep some 13 bits of the largest one.
        allowed.norm = std::max(allowed.norm, 1e-3);
        allowed.row = std::max(allowed.row, 2e-3);
        allowed.cancelled = 0x1p-11;
    }
    if (accumulation == Accumulation::fast) {  // likewise, but of all of K
        allowed.norm = std::max(allowed.norm, 1e-2);
        allowed.row = std::max(allowed.row, 2e-2);
        allowed.cancelled = 0x1p-9;
    }
    return allowed;
}

GpuCall::GpuCall(bench::Device& device, Plan& plan, const Operands& host, std::int64_t shift)
    : device_(device), plan_(plan) {
    std::array<std::int64_t, role_count> offsets{};
    for (const auto& [role, name] : roles) {
        if (host[role].defined()) {
            const std::int64_t element = info(host[role].dtype()).bytes;
            offsets[static_cast<std::size_t>(role)] =
                place(name, host[role].bytes(), shift / element * element, role == Role::y);
        }
    }
    const auto workspace_bytes = static_cast<std::int64_t>(plan.workspace_bytes());
    const auto packed_bytes = static_cast<std::int64_t>(plan.packed_bytes());
    const std::int64_t workspace = place("the workspace", workspace_bytes, 0, true);
    const std::int64_t packed = place("the packed weights", packed_bytes, 0, true);
    image_.resize(image_.size() + guard_bytes, guard);
    block_ = device_.allocate(static_cast<std::int64_t>(image_.size()));
    for (const auto& [role, name] : roles) {
        const Tensor& tensor = host[role];
        if (tensor.defined()) {
            const std::int64_t offset = offsets[static_cast<std::size_t>(role)];
            if (role == Role::y) {
                std::fill_n(image_.begin() + offset, tensor.bytes(), poison);
                y_offset_ = offset;
            } else if (tensor.bytes() > 0) {
                std::memcpy(image_.data() + offset, tensor.data(), static_cast<std::size_t>(tensor.bytes()));
            }
            operands_[role] = on_device(tensor, offset);
        }
    }
    m_indptr_offset_ = offsets[static_cast<std::size_t>(Role::m_indptr)];
    const auto* m_indptr = host.m_indptr.as<const std::int32_t>();
    host_m_indptr_.assign(m_indptr, m_indptr + host.m_indptr.elements());
    operands_.host_m_indptr = host_m_indptr_.data();
    if (workspace_bytes > 0) {
        operands_.workspace =
            Tensor(static_cast<std::byte*>(block_.get()) + workspace, DType::u8, {workspace_bytes}, device_.dl());
    }
    device_.copy_from_host(block_.get(), image_.data(), static_cast<std::int64_t>(image_.size()));
    if (packed_bytes > 0) {
        const Tensor target(static_cast<std::byte*>(block_.get()) + packed, DType::u8, {packed_bytes}, device_.dl());
        plan_.pack(operands_, target, device_.stream());
        operands_.packed_w = target;
    }
}

std::int64_t GpuCall::place(const std::string& name, std::int64_t bytes, std::int64_t shift, bool writable) {
    std::int64_t offset = static_cast<std::int64_t>(image_.size()) + guard_bytes;
    offset = (offset + alignment - 1) / alignment * alignment + shift;
    image_.resize(static_cast<std::size_t>(offset), guard);
    image_.resize(static_cast<std::size_t>(offset + bytes), poison);  // a workspace holds anything
    parts_.push_back({name, offset, bytes, writable});
    return offset;
}

Tensor GpuCall::on_device(const Tensor& tensor, std::int64_t offset) const {
    return {static_cast<std::byte*>(block_.get()) + offset, tensor.dtype(), tensor.shape(), device_.dl()};
}

void GpuCall::run() { plan_.run(operands_, device_.stream()); }

void GpuCall::set_m_indptr(const std::vector<std::int32_t>& m_indptr) {
    const auto bytes = static_cast<std::int64_t>(m_indptr.size() * sizeof(std::int32_t));
    ASSERT_EQ(bytes, operands_.m_indptr.bytes());
    std::memcpy(image_.data() + m_indptr_offset_, m_indptr.data(), static_cast<std::size_t>(bytes));
    device_.copy_from_host(operands_.m_indptr.data(), m_indptr.data(), bytes);
    operands_.host_m_indptr = nullptr;
}

void GpuCall::poison_y() { device_.set(operands_.y.data(), poison, operands_.y.bytes()); }

void GpuCall::fill_workspace(std::uint8_t value) {
    if (operands_.workspace.defined()) {
        device_.set(operands_.workspace.data(), value, operands_.workspace.bytes());
    }
}

std::vector<std::uint8_t> GpuCall::y(std::int64_t rows) {
    std::vector<std::uint8_t> now(image_.size());
    device_.copy_to_host(now.data(), block_.get(), static_cast<std::int64_t>(now.size()));
    const std::int64_t all_rows = std::max<std::int64_t>(operands_.y.shape()[0], 1);
    const std::int64_t written = operands_.y.bytes() / all_rows * rows;
    std::vector<std::uint8_t> result(now.begin() + y_offset_, now.begin() + y_offset_ + operands_.y.bytes());
    for (const Part& part : parts_) {
        if (part.writable) {
            const std::int64_t bytes = part.offset == y_offset_ ? written : part.bytes;
            std::copy_n(image_.begin() + part.offset, bytes, now.begin() + part.offset);
        }
    }
    if (now != image_) {
        const auto fault = std::mismatch(now.begin(), now.end(), image_.begin()).first - now.begin();
        std::string where;
        for (const Part& part : parts_) {
            if (fault >= part.offset - guard_bytes && where.empty() && fault < part.offset + part.bytes + guard_bytes) {
                where = "byte " + std::to_string(fault - part.offset) + " of " + part.name + " (" +
                        std::to_string(part.bytes) + " bytes)";
            }
        }
        ADD_FAILURE() << "the call wrote to " << where;
    }
    return result;
}

std::vector<std::uint8_t> run_gpu(bench::Device& device, Plan& plan, const Operands& host, std::int64_t shift) {
    GpuCall call(device, plan, host, shift);
    call.run();
    return call.y(host.y.shape()[0]);
}

}  // namespace moegemm::test
