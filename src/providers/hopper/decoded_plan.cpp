#include "providers/hopper/decoded_plan.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "cuda/reachable.hpp"
#include "op/checked.hpp"
#include "providers/hopper/choice.hpp"
#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/decoded_formats.hpp"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/pack_weights.hpp"
#include "providers/hopper/kernels/rebase_rows.hpp"
#include "providers/hopper/kernels/widen.hpp"
#include "providers/hopper/launch.hpp"
#include "providers/hopper/tensor_map.hpp"

namespace moegemm::hopper {

std::optional<WeightFormat> weight_format(const GemmSpec& spec) {
    if (spec.row().scaling != Scaling::group) {
        return std::nullopt;
    }
    if (spec.w == DType::e2m1x2) {
        return spec.row().scale_dtype == DType::ue8m0 ? WeightFormat::e2m1_ue8m0 : WeightFormat::e2m1_ue4m3;
    }
    // An infinite weight has no place among packed ones: e5m2 is left to the general provider.
    return spec.w == DType::e4m3 ? std::optional(WeightFormat::e4m3_ue8m0) : std::nullopt;
}

const KernelSet& decoded_kernels(WeightFormat format) {
    switch (format) {
        case WeightFormat::e2m1_ue8m0:
            return mxfp4_weight_kernels();
        case WeightFormat::e2m1_ue4m3:
            return nvfp4_weight_kernels();
        case WeightFormat::e4m3_ue8m0:
            break;
    }
    return mxfp8_weight_kernels();
}

const Kernel* rebased_kernel(const GemmSpec& spec, const Kernel& kernel, bool inexact) {
    if (!may_rebase(spec.a, spec.row().scale_dtype, inexact)) {
        return nullptr;
    }
    const Kernel& rebased = spec.w == DType::e2m1x2 ? rebased_mxfp4_kernel() : rebased_mxfp8_kernel();
    return rebased.tile_rows == kernel.tile_rows ? &rebased : nullptr;
}

DecodedPlan::DecodedPlan(const GemmSpec& spec, DLDevice device, WeightFormat format, const Kernel& kernel,
                         const Kernel* rebased, int processors, std::unique_ptr<Plan> general)
    : Plan(spec, device),
      format_(format),
      parts_(packed_parts(format, spec.experts, spec.n, spec.k)),
      kernel_(kernel),
      rebased_(rebased == nullptr ? Kernel{} : *rebased),
      general_(std::move(general)),
      workspace_(workspace()),
      processors_(processors) {
    require_tensor_maps();
    allow_shared_memory(kernel_, device);
    if (rebases()) {
        allow_shared_memory(rebased_, device);
    }
}

DecodedPlan::Workspace DecodedPlan::workspace() const {
    Workspace parts;
    const auto append = [&](std::int64_t& part, std::int64_t each, std::int64_t count) {
        constexpr std::int64_t alignment = 256;
        part = checked_add(parts.bytes, alignment - 1, "workspace") / alignment * alignment;
        parts.bytes = checked_add(part, checked_mul(each, count, "workspace"), "workspace");
    };
    if (widens()) {
        const std::int64_t values = checked_mul(spec().max_rows, spec().k, "workspace");
        append(parts.widened, info(DType::bf16).bytes, values);
        if (rebases()) {
            append(parts.values, 1, values);
            append(parts.factors, sizeof(float), spec().max_rows);
            append(parts.rows_differ, sizeof(std::uint32_t), 1);
        } else if (kernel_.widens) {
            append(parts.progress, sizeof(std::uint32_t), RowProgress::words(spec().max_rows));
        }
    }
    append(parts.counter, sizeof(ItemCounter), 1);
    return parts;
}

std::size_t DecodedPlan::workspace_bytes() const {
    return std::max(static_cast<std::size_t>(workspace_.bytes), general_->workspace_bytes());
}

std::vector<std::string> DecodedPlan::kernels() const {
    std::vector<std::string> names;
    if (rebases()) {
        names.emplace_back("hopper/rebase_rows");
        names.push_back(fmt::format("hopper/{}/{}", spec().row().name, rebased_.name));
    } else if (widens()) {
        names.emplace_back("hopper/widen_rows");
    }
    names.push_back(fmt::format("hopper/{}/{}", spec().row().name, kernel_.name));
    return names;
}

void DecodedPlan::do_pack(const Operands& operands, const Tensor& packed, void* stream) {
    const cuda::UseDevice use(device().device_id);
    cuda::check_reachable(operands, spec(), device());
    const GemmSpec& s = spec();
    auto* const front = static_cast<std::uint8_t*>(packed.data());
    PackCall call{};
    call.blocks = front;
    call.row_factors = reinterpret_cast<float*>(front + parts_.row_factors);
    call.rebased_factors = reinterpret_cast<float*>(front + parts_.rebased_factors);
    call.not_rebasable = reinterpret_cast<std::uint32_t*>(front + parts_.not_rebasable);
    call.w = operands.w.as<const std::uint8_t>();
    call.w_scale = operands.w_scale.as<const std::uint8_t>();
    call.layout = s.scale_layout;
    call.n = s.n;
    call.row_bytes = s.k / info(s.w).values * info(s.w).bytes;
    call.scale_columns = s.scale_columns();
    call.shape = PackedShape::of(s.n, s.k);
    call.in_words = call.row_bytes % 4 == 0 && is_aligned(call.w, 4);
    // What packing leaves alone: gaps, and parts that a format has no use for.
    cuda::check(
        cudaMemsetAsync(front + parts_.blocks_end, 0, static_cast<std::size_t>(parts_.bytes - parts_.blocks_end),
                        static_cast<cudaStream_t>(stream)),
        "cudaMemsetAsync of packed weights");
    cuda::check(pack_weights(format_, call, s.experts, static_cast<cudaStream_t>(stream)), "pack_weights");
}

void DecodedPlan::do_run(const Operands& operands, void* stream) {
    const std::int64_t rows = operands.a.shape()[0];
    if (rows == 0) {
        return;
    }
    const GemmSpec& s = spec();
    if (!operands.packed_w.defined()) {
        general_->run(operands, stream);
        return;
    }
    if (!is_aligned(operands.a.data(), tma_bytes)) {
        if (!operands.w.defined()) {
            throw Error(ErrorCode::invalid_argument, "scatter_tokens", fmt::format("address {}", operands.a.data()),
                        fmt::format("a multiple of {} bytes beside packed weights alone", tma_bytes));
        }
        Operands unpacked = operands;
        unpacked.packed_w = Tensor();
        general_->run(unpacked, stream);
        return;
    }
    const cuda::UseDevice use(device().device_id);
    cuda::check_reachable(operands, s, device());
    const auto* const front = static_cast<const std::uint8_t*>(operands.packed_w.data());
    const PackedWeights packed{front, reinterpret_cast<const float*>(front + parts_.row_factors),
                               reinterpret_cast<const float*>(front + parts_.rebased_factors),
                               reinterpret_cast<const std::uint32_t*>(front + parts_.not_rebasable),
                               PackedShape::of(s.n, s.k)};
    Call call = output_call(s, operands);
    call.weights_first_out = weights_leave_first(s.max_rows, s.experts, kernel_.tile_rows, parts_.bytes);
    Maps maps{};
    if (call.y_map) {
        maps.y = matrix_map(operands.y.data(), s.dst, rows, s.n, wgmma_rows);
    }
    auto* const workspace = static_cast<std::uint8_t*>(operands.workspace.data());
    Route route{};
    RawRows raw{};
    const auto multiply = [&](const Kernel& kernel, const void* a, DType type, bool overlapping) {
        call.a_chunks = kernel.a_chunks > 0 && has_whole_chunks(type, s.k);
        const auto map = [&](int box_rows) {
            if (kernel.a_chunks == 0) {
                return matrix_map(a, type, rows, s.k, box_rows);
            }
            return call.a_chunks ? chunks_map(a, type, rows, s.k, box_rows, kernel.a_chunks)
                                 : matrices_map(a, type, 1, rows, s.k, box_rows);
        };
        maps.a = map(kernel.a_box);
        maps.a_part = map(kernel.a_part_box);
        // Of two launches the second leaves it alone before the first has ended.
        set_counter(call, workspace + workspace_.counter);
        // The kernel of rebased operands has no use for the last of them.
        std::array<void*, 5> arguments{&maps, &call, const_cast<PackedWeights*>(&packed), &route, &raw};
        launch(kernel, processors_, arguments.data(), stream, overlapping);
    };
    if (!widens()) {
        multiply(kernel_, operands.a.data(), s.a, false);
        return;
    }
    raw.type = s.a;
    raw.call.a = operands.a.as<const std::uint8_t>();
    raw.call.a_scale = operands.a_scale.as<const std::uint8_t>();
    raw.call.layout = s.scale_layout;
    raw.call.scale_columns = s.scale_columns();
    raw.call.m_indptr = operands.m_indptr.as<const std::int32_t>();
    raw.call.experts = static_cast<int>(s.experts);
    raw.call.rows = static_cast<int>(rows);
    raw.call.depth = static_cast<int>(s.k);
    const auto cuda_stream = static_cast<cudaStream_t>(stream);
    raw.call.out = reinterpret_cast<std::uint16_t*>(workspace + workspace_.widened);
    if (rebases()) {
        const RebasedRows rebased{packed.not_rebasable, workspace + workspace_.values,
                                  reinterpret_cast<float*>(workspace + workspace_.factors),
                                  reinterpret_cast<std::uint32_t*>(workspace + workspace_.rows_differ)};
        cuda::check(cudaMemsetAsync(rebased.rows_differ, 0, sizeof(std::uint32_t), cuda_stream),
                    "cudaMemsetAsync of the workspace");
        cuda::check(rebase_rows(s.a, raw.call, rebased, cuda_stream), "rebase_rows");
        raw.call.a = nullptr;
        route = {rebased.rows_differ, rebased.factors};
        multiply(rebased_, rebased.values, DType::e4m3, true);
    } else {
        raw.first =
            static_cast<int>(kernel_.widens ? rows_widened_before(rows, s.experts, s.n, kernel_.tile_rows,
                                                                  kernel_.tile_columns, processors_, RowProgress::rows)
                                            : rows);
        if (raw.first < raw.call.rows) {
            raw.progress = reinterpret_cast<std::uint32_t*>(workspace + workspace_.progress);
        }
        cuda::check(widen_rows(s.a, s.row().scale_dtype, raw.call, raw.first, raw.progress, cuda_stream), "widen_rows");
        if (raw.first == raw.call.rows) {
            raw.call.a = nullptr;
        }
    }
    multiply(kernel_, raw.call.out, DType::bf16, true);
}

}  // namespace moegemm::hopper
