#include "providers/hopper/plan.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "cuda/reachable.hpp"
#include "providers/hopper/choice.hpp"
#include "providers/hopper/decoded_plan.hpp"
#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/launch.hpp"
#include "providers/hopper/tensor_map.hpp"

namespace moegemm::hopper {
namespace {

/// Null where no kernel is made for the variant.
const KernelSet* kernels_of(const GemmSpec& spec) {
    switch (spec.variant) {
        case Variant::bf16:
            return &bf16_kernels();
        case Variant::int8:
            return &int8_kernels();
        case Variant::fp8:
        case Variant::fp8_token:
            return &fp8_kernels(spec.a, spec.w);
        case Variant::fp8_block:
            return &fp8_block_kernels(spec.a, spec.w);
        default:
            return nullptr;
    }
}

/// Numbers and addresses of a call, everything but what depends on the kernel.
Call call_of(const GemmSpec& spec, const Operands& operands) {
    Call call = output_call(spec, operands);
    const std::int64_t rows = operands.a.shape()[0];
    call.depth = static_cast<int>(spec.k * info(spec.a).bytes);
    const auto* a_scale = operands.a_scale.as<const float>();
    const auto* w_scale = operands.w_scale.as<const float>();
    if (spec.row().scaling == Scaling::token_channel) {
        call.token_scale = a_scale;
        call.channel_scale = w_scale;
    } else if (spec.row().scaling == Scaling::block) {
        const std::int64_t depth_blocks = spec.scale_columns();
        const std::int64_t column_blocks = (spec.n + 127) / 128;
        const bool mn_major = spec.scale_layout == ScaleLayout::mn_major;
        call.a_block_scale = a_scale;
        call.w_block_scale = w_scale;
        call.a_scale_row = mn_major ? 1 : depth_blocks;
        call.a_scale_block = mn_major ? rows : 1;
        call.w_scale_expert = depth_blocks * column_blocks;
        call.w_scale_column = mn_major ? 1 : depth_blocks;
        call.w_scale_block = mn_major ? column_blocks : 1;
    }
    return call;
}

}  // namespace

Chosen choose_kernel(const GemmSpec& spec, std::optional<Tiling> tiling, int processors) {
    const std::optional<WeightFormat> format = weight_format(spec);
    const KernelSet* const set = format ? &decoded_kernels(*format) : kernels_of(spec);
    if (set == nullptr) {
        return {nullptr, fmt::format("no kernel for {}", spec.row().name)};
    }
    // Decoded to bf16, rows of A are always multiples of what the copy engine takes.
    const std::int64_t bytes = spec.k * info(format ? DType::bf16 : spec.a).bytes;
    if (bytes % tma_bytes != 0) {
        return {nullptr, fmt::format("rows of {} bytes: the copy engine takes multiples of {}", bytes, tma_bytes)};
    }
    std::array<bool, tiling_count> made{};
    for (std::size_t i = 0; i < made.size(); ++i) {
        made[i] = (*set)[i].function != nullptr;
    }
    const Tiling best = format ? choose_decoded_tiling(spec.max_rows, spec.experts, spec.n, processors)
                               : choose_tiling(spec.max_rows, spec.experts, spec.n, processors);
    const Tiling chosen = nearest_tiling(tiling.value_or(best), made);
    const Kernel& kernel = (*set)[static_cast<std::size_t>(chosen)];
    if (!counts_fit(spec.max_rows, spec.experts, spec.n, bytes, kernel.tile_rows, kernel.tile_columns)) {
        return {nullptr, "sizes beyond what its kernels count with"};
    }
    return {&kernel, {}};
}

HopperPlan::HopperPlan(const GemmSpec& spec, DLDevice device, const Kernel& kernel, int processors,
                       std::unique_ptr<Plan> general)
    : Plan(spec, device), kernel_(kernel), general_(std::move(general)), processors_(processors) {
    require_tensor_maps();
    allow_shared_memory(kernel_, device);
}

std::size_t HopperPlan::workspace_bytes() const { return std::max(sizeof(ItemCounter), general_->workspace_bytes()); }

std::vector<std::string> HopperPlan::kernels() const {
    return {fmt::format("hopper/{}/{}", spec().row().name, kernel_.name)};
}

void HopperPlan::do_run(const Operands& operands, void* stream) {
    const std::int64_t rows = operands.a.shape()[0];
    if (rows == 0) {
        return;
    }
    const GemmSpec& s = spec();
    Call call = call_of(s, operands);
    if (!is_aligned(operands.a.data(), tma_bytes) || !is_aligned(operands.w.data(), tma_bytes)) {
        general_->run(operands, stream);
        return;
    }
    const cuda::UseDevice use(device().device_id);
    cuda::check_reachable(operands, s, device());
    call.weights_first_out =
        weights_leave_first(s.max_rows, s.experts, kernel_.tile_rows, s.experts * s.n * s.k * info(s.w).bytes);
    call.early_chunks =
        early_chunks(rows, s.experts, kernel_.tile_rows, kernel_.tile_columns, call.depth, kernel_.ctas);
    set_counter(call, operands.workspace.data());
    Maps maps{};
    maps.a = matrix_map(operands.a.data(), s.a, rows, s.k, kernel_.a_box);
    maps.a_part = matrix_map(operands.a.data(), s.a, rows, s.k, kernel_.a_part_box);
    maps.w = matrices_map(operands.w.data(), s.w, s.experts, s.n, s.k, kernel_.w_box);
    maps.w_part = matrices_map(operands.w.data(), s.w, s.experts, s.n, s.k, kernel_.w_part_box);
    if (call.y_map) {
        maps.y = matrix_map(operands.y.data(), s.dst, rows, s.n, wgmma_rows);
    }

    std::array<void*, 2> arguments{&maps, &call};
    launch(kernel_, processors_, arguments.data(), stream, false);
}

}  // namespace moegemm::hopper
