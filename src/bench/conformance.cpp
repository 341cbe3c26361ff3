#include "bench/conformance.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <span>
#include <system_error>

#include <fmt/format.h>

#include "bench/text_file.hpp"
#include "op/checked.hpp"

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian, and read as they are");

std::vector<std::uint8_t> read_tensor(const std::filesystem::path& folder, const TensorFile& tensor) {
    const std::string where = fmt::format("{}: tensor {}", folder.string(), tensor.name);
    std::int64_t bytes = info(tensor.dtype).bytes;
    for (const std::int64_t extent : tensor.shape) {
        bytes = checked_mul(bytes, extent, where);
    }
    const std::filesystem::path path = folder / tensor.file;
    std::error_code failure;
    const std::uintmax_t size = std::filesystem::file_size(path, failure);
    if (failure) {
        throw Error(ErrorCode::io, where, fmt::format("{}: {}", tensor.file, failure.message()),
                    "a file that can be read");
    }
    if (size != static_cast<std::uintmax_t>(bytes)) {
        throw Error(ErrorCode::parse, where, fmt::format("{} of {} bytes", tensor.file, size),
                    fmt::format("{} bytes, as its shape says", bytes));
    }
    std::vector<std::uint8_t> data(static_cast<std::size_t>(bytes));
    std::ifstream stream(path, std::ios::binary);
    if (!stream.read(reinterpret_cast<char*>(data.data()), bytes)) {
        throw Error(ErrorCode::io, where, tensor.file, "a file that can be read");
    }
    return data;
}

/// Bytes with a guard on both sides. All of it starts as poison: a byte pattern that is a large finite number in every
/// dst type, so that an element that was not written conforms neither to a number nor to NaN.
class GuardedMemory {
public:
    explicit GuardedMemory(std::size_t bytes) : bytes_(bytes), memory_(bytes + 2 * guard + alignment, poison) {
        const auto address = reinterpret_cast<std::uintptr_t>(memory_.data()) + guard;
        begin_ = guard + (alignment - address % alignment) % alignment;
    }

    [[nodiscard]] void* data() noexcept { return memory_.data() + begin_; }
    [[nodiscard]] bool intact() const {
        const auto is_poison = [](std::uint8_t byte) { return byte == poison; };
        const auto first = memory_.begin() + static_cast<std::ptrdiff_t>(begin_);
        return std::all_of(memory_.begin(), first, is_poison) &&
               std::all_of(first + static_cast<std::ptrdiff_t>(bytes_), memory_.end(), is_poison);
    }

private:
    static constexpr std::size_t guard = 256;
    static constexpr std::size_t alignment = 64;
    static constexpr std::uint8_t poison = 0x7B;

    std::size_t bytes_;
    std::vector<std::uint8_t> memory_;
    std::size_t begin_ = 0;
};

Tensor byte_tensor(GuardedMemory& memory, std::size_t bytes) {
    return {memory.data(), DType::u8, {static_cast<std::int64_t>(bytes)}};
}

Operands input_operands(const ConformanceCase& item) {
    Operands operands;
    const GemmSpec& spec = item.manifest.problem.spec();
    for (const TensorSpec& tensor : tensor_specs(spec, item.manifest.problem.rows())) {
        for (std::size_t i = 0; i < item.manifest.inputs.size(); ++i) {
            if (item.manifest.inputs[i].name == tensor.name) {
                // A call reads its inputs only; Tensor has no const form.
                void* data = const_cast<std::uint8_t*>(item.memory[i].data());
                operands[tensor.role] = Tensor(data, tensor.dtype, tensor.shape);
            }
        }
    }
    return operands;
}

Verdict failed(std::string reason) { return {Verdict::Outcome::failed, std::move(reason), 0, 0}; }
Verdict skipped(std::string reason) { return {Verdict::Outcome::skipped, std::move(reason), 0, 0}; }

/// What keeps a provider from running the case; empty where nothing does.
std::string obstacle(const Manifest& manifest, const Provider& provider) {
    const GemmSpec& spec = manifest.problem.spec();
    const ProviderInfo& about = provider.info();
    if (const Support support = provider.supports(spec); !support.supported) {
        return support.reason;
    }
    if (about.device_type != kDLCPU) {
        return "its tensors live on another device, and the cases are run in host memory";
    }
    for (const std::string& need : manifest.required) {
        if (need != "full_scale_range") {
            return fmt::format("the case requires {}, which is not known here", printable(need));
        }
        if (about.support[static_cast<std::size_t>(spec.variant)].scale_range != ScaleRange::full) {
            return "the case requires full_scale_range, and the provider declares the range of bf16";
        }
    }
    return {};
}

class Check {
public:
    Check(const ConformanceCase& item, const Provider& provider, Plan& plan)
        : item_(item), spec_(item.manifest.problem.spec()), plan_(plan), operands_(input_operands(item)) {
        const VariantSupport& support = provider.info().support[static_cast<std::size_t>(spec_.variant)];
        tolerance_ = item.manifest.tolerance;
        if (support.accumulation == Accumulation::promoted_128 && item.manifest.tolerance_promoted) {
            tolerance_ = *item.manifest.tolerance_promoted;
        }
        if (provider.info().needs_host_counts) {
            operands_.host_m_indptr = item.manifest.problem.m_indptr().data();
        }
    }

    /// \param mode "packed" or "unpacked", for the reason
    void run(const Operands& operands, std::string_view mode, Verdict& verdict) {
        Operands call = operands;
        const TensorFile& expected = item_.manifest.expected;
        const std::size_t elements = item_.expected.size();
        GuardedMemory y(elements * static_cast<std::size_t>(info(spec_.dst).bytes));
        GuardedMemory workspace(plan_.workspace_bytes());
        call.y = Tensor(y.data(), spec_.dst, expected.shape);
        if (plan_.workspace_bytes() > 0) {
            call.workspace = byte_tensor(workspace, plan_.workspace_bytes());
        }
        plan_.run(call);
        std::vector<double> actual(elements);
        decode_elements(spec_.dst, y.data(), actual);
        Comparison comparison(spec_.dst, tolerance_);
        const auto columns = static_cast<std::size_t>(spec_.n);
        const std::span<const double> all_expected(item_.expected);
        const std::span<const double> all_actual(actual);
        for (std::size_t start = 0; start < elements; start += columns) {
            comparison.add_row(static_cast<std::int64_t>(start / columns), {}, all_expected.subspan(start, columns),
                               all_actual.subspan(start, columns));
        }
        verdict.relative_norm = std::max(verdict.relative_norm, comparison.relative_norm());
        verdict.relative_max = std::max(verdict.relative_max, comparison.relative_max());
        std::string reason = comparison.reason();
        if (!y.intact() || !workspace.intact()) {
            reason = fmt::format("wrote outside of {}", y.intact() ? "the workspace" : "y");
        }
        if (!reason.empty() && verdict.reason.empty()) {
            verdict.outcome = Verdict::Outcome::failed;
            verdict.reason = fmt::format("{}: {}", mode, reason);
        }
    }

    Verdict all() {
        Verdict verdict;
        run(operands_, "unpacked", verdict);
        const std::size_t packed_bytes = plan_.packed_bytes();
        if (packed_bytes > 0) {
            GuardedMemory packed(packed_bytes);
            const Tensor target = byte_tensor(packed, packed_bytes);
            plan_.pack(operands_, target);
            if (!packed.intact()) {
                return failed("wrote outside of the packed weights");
            }
            Operands call = operands_;
            call.w = Tensor();
            call.w_scale = Tensor();
            call.packed_w = target;
            run(call, "packed", verdict);
        }
        return verdict;
    }

private:
    const ConformanceCase& item_;
    const GemmSpec& spec_;
    Plan& plan_;
    Operands operands_;
    Tolerance tolerance_{};
};

}  // namespace

std::vector<std::filesystem::path> find_conformance_cases(const std::filesystem::path& folder) {
    std::error_code failure;
    if (std::filesystem::exists(folder / "manifest.json", failure)) {
        return {folder};
    }
    std::vector<std::filesystem::path> cases;
    bool any = false;
    for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
         entry.increment(failure)) {
        if (entry->is_directory(failure)) {
            cases.push_back(entry->path());
            any = any || std::filesystem::exists(entry->path() / "manifest.json", failure);
        }
    }
    if (failure) {
        throw Error(ErrorCode::io, folder.string(), failure.message(), "a folder that can be read");
    }
    if (!any) {
        throw Error(ErrorCode::io, folder.string(), "no case", "a folder that holds manifest.json, or folders that do");
    }
    std::sort(cases.begin(), cases.end());
    return cases;
}

ConformanceCase read_conformance_case(const std::filesystem::path& folder) {
    std::filesystem::path named = folder;
    if (!named.has_filename()) {
        named = named.parent_path();  // a trailing slash
    }
    ConformanceCase item{
        named.filename().string(), parse_manifest(read_text_file(folder / "manifest.json"), folder.string()), {}, {}};
    const Problem& problem = item.manifest.problem;
    for (const TensorFile& input : item.manifest.inputs) {
        item.memory.push_back(read_tensor(folder, input));
        const std::vector<std::uint8_t>& bytes = item.memory.back();
        if (input.name == "m_indptr" &&
            !std::equal(bytes.begin(), bytes.end(), reinterpret_cast<const std::uint8_t*>(problem.m_indptr().data()))) {
            throw Error(ErrorCode::parse, fmt::format("{}: tensor m_indptr", folder.string()),
                        "other offsets than the manifest's", "the same numbers as arguments.m_indptr");
        }
    }
    const std::vector<std::uint8_t> expected = read_tensor(folder, item.manifest.expected);
    item.expected.resize(expected.size() / sizeof(double));
    if (!expected.empty()) {
        std::memcpy(item.expected.data(), expected.data(), expected.size());
    }
    return item;
}

Verdict check_conformance(const ConformanceCase& item, const Provider& provider, int threads) {
    try {
        if (std::string reason = obstacle(item.manifest, provider); !reason.empty()) {
            return skipped(std::move(reason));
        }
        PlanOptions options;
        options.threads = threads;
        const std::unique_ptr<Plan> plan = provider.plan(item.manifest.problem.spec(), options);
        return Check(item, provider, *plan).all();
    } catch (const std::exception& error) {
        return failed(error.what());
    }
}

}  // namespace moegemm::bench
