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

DecodedPlan::DecodedPlan(const GemmSpec& spec, DLDevice device, WeightFormat format, const Kernel& kernel,
                         int processors, std::unique_ptr<Plan> general)
    : Plan(spec, device),
      format_(format),
      parts_(packed_parts(format, spec.experts, spec.n, spec.k)),
      kernel_(kernel),
      general_(std::move(general)),
      processors_(processors) {
    require_tensor_maps();
    if (widens()) {
        widened_bytes_ = checked_mul({spec.max_rows, spec.k, info(DType::bf16).bytes}, "workspace");
    }
    allow_shared_memory(kernel_, device);
}

std::size_t DecodedPlan::workspace_bytes() const {
    return std::max(static_cast<std::size_t>(widened_bytes_), general_->workspace_bytes());
}

std::vector<std::string> DecodedPlan::kernels() const {
    std::vector<std::string> names;
    if (widens()) {
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
    call.w = operands.w.as<const std::uint8_t>();
    call.w_scale = operands.w_scale.as<const std::uint8_t>();
    call.layout = s.scale_layout;
    call.n = s.n;
    call.row_bytes = s.k / info(s.w).values * info(s.w).bytes;
    call.scale_columns = s.scale_columns();
    call.shape = PackedShape::of(s.n, s.k);
    call.in_words = call.row_bytes % 4 == 0 && is_aligned(call.w, 4);
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
    const void* a = operands.a.data();
    if (widens()) {
        WidenCall call{};
        call.a = operands.a.as<const std::uint8_t>();
        call.a_scale = operands.a_scale.as<const std::uint8_t>();
        call.layout = s.scale_layout;
        call.scale_columns = s.scale_columns();
        call.m_indptr = operands.m_indptr.as<const std::int32_t>();
        call.experts = static_cast<int>(s.experts);
        call.rows = static_cast<int>(rows);
        call.depth = static_cast<int>(s.k);
        call.out = static_cast<std::uint16_t*>(operands.workspace.data());
        cuda::check(widen_rows(s.a, s.row().scale_dtype, call, static_cast<cudaStream_t>(stream)), "widen_rows");
        a = call.out;
    }
    const auto* const front = static_cast<const std::uint8_t*>(operands.packed_w.data());
    PackedWeights packed{front, reinterpret_cast<const float*>(front + parts_.row_factors), PackedShape::of(s.n, s.k)};
    Call call = output_call(s, operands);
    call.depth = static_cast<int>(s.k * info(DType::bf16).bytes);
    call.weights_first_out = weights_leave_first(s.max_rows, s.experts, kernel_.tile_rows, parts_.bytes);
    Maps maps{};
    maps.a = matrix_map(a, DType::bf16, rows, s.k, kernel_.a_box);
    maps.a_part = matrix_map(a, DType::bf16, rows, s.k, kernel_.a_part_box);
    if (call.y_map) {
        maps.y = matrix_map(operands.y.data(), s.dst, rows, s.n, wgmma_rows);
    }
    std::array<void*, 3> arguments{&maps, &call, &packed};
    launch(kernel_, processors_, arguments.data(), stream, widens());
}

}  // namespace moegemm::hopper
