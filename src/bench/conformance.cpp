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

#include "bench/guarded_buffer.hpp"
#include "bench/host_buffer.hpp"
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

/// A byte pattern that is a large finite number in every dst type: an element that was not written conforms neither to
/// a number nor to NaN.
constexpr std::uint8_t poison = 0x7B;

Tensor byte_tensor(const GuardedBuffer& memory, DLDevice device) {
    return {memory.data(), DType::u8, {memory.bytes()}, device};
}

/// What keeps a provider from running the case; empty where nothing does.
std::string obstacle(const Manifest& manifest, const Provider& provider, const Device& device) {
    const GemmSpec& spec = manifest.problem.spec();
    const ProviderInfo& about = provider.info();
    if (!about.unavailable.empty()) {
        return about.unavailable;
    }
    if (about.device_type != device.dl().device_type) {
        return fmt::format("its tensors do not live on this run's device, {}", device.sku_name());
    }
    if (const Support support = provider.supports(spec); !support.supported) {
        return support.reason;
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

/// One plan on one case.
class Check {
public:
    Check(const ConformanceCase& item, const ProviderInfo& about, Plan& plan, Device& device)
        : item_(item),
          spec_(item.manifest.problem.spec()),
          plan_(plan),
          device_(device),
          tolerance_(item.manifest.tolerance) {
        copy_inputs();
        const VariantSupport& support = about.support[static_cast<std::size_t>(spec_.variant)];
        if (support.accumulation == Accumulation::promoted_128 && item.manifest.tolerance_promoted) {
            tolerance_ = *item.manifest.tolerance_promoted;
        } else if (support.accumulation == Accumulation::fast) {
            tolerance_ = tolerance_for(spec_.dst, Accumulation::fast);
        }
        if (about.needs_host_counts) {
            operands_.host_m_indptr = item.manifest.problem.m_indptr().data();
        }
    }

    Verdict run() {
        run(operands_, "unpacked");
        if (plan_.packed_bytes() > 0) {
            const GuardedBuffer packed(device_, "packed_w", static_cast<std::int64_t>(plan_.packed_bytes()));
            Operands call = operands_;
            call.packed_w = byte_tensor(packed, device_.dl());
            plan_.pack(operands_, call.packed_w, device_.stream());
            note("packing", packed.damage());
            call.w = Tensor();
            call.w_scale = Tensor();
            run(call, "packed");
        }
        for (const GuardedBuffer& input : inputs_) {
            note("either", input.damage());
        }
        return verdict_;
    }

private:
    void copy_inputs() {
        inputs_.reserve(item_.manifest.inputs.size());
        for (const TensorSpec& tensor : tensor_specs(spec_, item_.manifest.problem.rows())) {
            for (std::size_t i = 0; i < item_.manifest.inputs.size(); ++i) {
                if (item_.manifest.inputs[i].name == tensor.name) {
                    const GuardedBuffer& input = inputs_.emplace_back(device_, tensor.name, tensor.bytes);
                    device_.copy_from_host(input.data(), item_.memory[i].data(), tensor.bytes);
                    operands_[tensor.role] = Tensor(input.data(), tensor.dtype, tensor.shape, device_.dl());
                }
            }
        }
    }

    void note(std::string_view mode, const std::string& fault) {
        if (!fault.empty() && verdict_.outcome == Verdict::Outcome::passed) {
            verdict_.outcome = Verdict::Outcome::failed;
            verdict_.reason = fmt::format("{}: {}", mode, fault);
        }
    }

    void run(Operands call, std::string_view mode) {
        const auto elements = static_cast<std::int64_t>(item_.expected.size());
        const GuardedBuffer y(device_, "y", elements * info(spec_.dst).bytes);
        const GuardedBuffer workspace(device_, "workspace", static_cast<std::int64_t>(plan_.workspace_bytes()));
        device_.set(y.data(), poison, y.bytes());
        call.y = Tensor(y.data(), spec_.dst, item_.manifest.expected.shape, device_.dl());
        if (workspace.bytes() > 0) {
            device_.set(workspace.data(), poison, workspace.bytes());
            call.workspace = byte_tensor(workspace, device_.dl());
        }
        plan_.run(call, device_.stream());
        note(mode, y.damage());
        note(mode, workspace.damage());
        compare(y, mode);
    }

    void compare(const GuardedBuffer& y, std::string_view mode) {
        const auto stored = allocate_host(y.bytes());
        device_.copy_to_host(stored.get(), y.data(), y.bytes());
        std::vector<double> actual(item_.expected.size());
        decode_elements(spec_.dst, stored.get(), actual);
        Comparison comparison(spec_.dst, tolerance_);
        const auto columns = static_cast<std::size_t>(spec_.n);
        for (std::size_t start = 0; start < actual.size(); start += columns) {
            comparison.add_row(static_cast<std::int64_t>(start / columns), {},
                               std::span(item_.expected).subspan(start, columns),
                               std::span(actual).subspan(start, columns));
        }
        verdict_.relative_norm = std::max(verdict_.relative_norm, comparison.relative_norm());
        verdict_.relative_max = std::max(verdict_.relative_max, comparison.relative_max());
        note(mode, comparison.reason());
    }

    const ConformanceCase& item_;
    const GemmSpec& spec_;
    Plan& plan_;
    Device& device_;
    std::vector<GuardedBuffer> inputs_;
    Operands operands_;
    Tolerance tolerance_;
    Verdict verdict_;
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

Verdict check_conformance(const ConformanceCase& item, const Provider& provider, Device& device) {
    try {
        if (std::string reason = obstacle(item.manifest, provider, device); !reason.empty()) {
            return {Verdict::Outcome::skipped, std::move(reason), 0, 0};
        }
        PlanOptions options;
        options.device = device.dl();
        options.threads = device.threads();
        const std::unique_ptr<Plan> plan = provider.plan(item.manifest.problem.spec(), options);
        return Check(item, provider.info(), *plan, device).run();
    } catch (const std::exception& error) {
        return {Verdict::Outcome::failed, error.what(), 0, 0};
    }
}

}  // namespace moegemm::bench
