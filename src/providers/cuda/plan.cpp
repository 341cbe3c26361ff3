#include "providers/cuda/plan.hpp"

#include <algorithm>

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

#include "cuda/error.hpp"
#include "cuda/reachable.hpp"
#include "providers/cuda/stage_plan.hpp"

namespace moegemm::cuda {
namespace {

/// Up to so many rows an expert, on average, the smaller tiles are the faster ones.
constexpr std::int64_t few_rows = 16;
constexpr std::int64_t some_rows = 64;
/// And so many columns fill a smaller tile.
constexpr std::int64_t some_columns = 128;

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) { return value / divisor + (value % divisor != 0); }

TileSize choose_size(const GemmSpec& spec, std::string_view name) {
    if (!name.empty()) {
        const auto found = std::ranges::find(tile_size_names, name);
        if (found == tile_size_names.end()) {
            throw Error(ErrorCode::invalid_argument, "kernel", std::string(name),
                        fmt::format("a size of tiles: {}", fmt::join(tile_size_names, ", ")));
        }
        return static_cast<TileSize>(found - tile_size_names.begin());
    }
    const std::int64_t rows = divide_up(spec.max_rows, spec.experts);
    if (rows <= few_rows) {
        return TileSize::few;
    }
    return rows <= some_rows || spec.n <= some_columns ? TileSize::some : TileSize::many;
}

/// The kernel of the wanted size, or of the largest one whose ring has room on this GPU.
const Kernel& choose_kernel(const KernelRow& row, TileSize size, const Gpu& gpu) {
    auto index = static_cast<std::size_t>(size);
    while (index > 0 && fewest_stages * row.kernels[index].stage_bytes > gpu.block_shared_bytes) {
        --index;
    }
    return row.kernels[index];
}

/// Stages of the ring, so that as many blocks as wanted fit on a multiprocessor. Each block takes 1 KB more for itself.
int stages_of(const Kernel& kernel, const Gpu& gpu) {
    const int block_bytes = std::min(gpu.block_shared_bytes, gpu.sm_shared_bytes / kernel.blocks_an_sm - 1024);
    return std::clamp(block_bytes / kernel.stage_bytes, fewest_stages, most_stages);
}

bool aligned(const void* data, std::int64_t bytes) {
    return reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(bytes) == 0;
}

RowOperand row_operand(const Tensor& tensor, DType dtype, std::int64_t k) {
    const std::int64_t row_bytes = k / info(dtype).values * info(dtype).bytes;
    const auto fits = [&](std::int64_t bytes) { return row_bytes % bytes == 0 && aligned(tensor.data(), bytes); };
    return {tensor.as<const std::uint8_t>(), row_bytes, fits(16) ? 16 : fits(4) ? 4 : 1, dtype == DType::e5m2};
}

/// Swizzled scales come in whole words; linear ones do where their rows are.
ScaleOperand scale_operand(const Tensor& tensor, const GemmSpec& spec) {
    const bool whole_words = spec.scale_layout != ScaleLayout::linear || spec.scale_columns() % 4 == 0;
    return {tensor.as<const std::uint8_t>(), whole_words && aligned(tensor.data(), 4)};
}

}  // namespace

CudaPlan::CudaPlan(const GemmSpec& spec, DLDevice device, const Gpu& gpu, const KernelRow& row, std::string_view size)
    : Plan(spec, device),
      row_(row),
      kernel_(choose_kernel(row, choose_size(spec, size), gpu)),
      stages_(stages_of(kernel_, gpu)) {
    const UseDevice use(device.device_id);
    const int ring_bytes = stages_ * kernel_.stage_bytes;
    check(cudaFuncSetAttribute(kernel_.function, cudaFuncAttributeMaxDynamicSharedMemorySize, ring_bytes),
          "cudaFuncSetAttribute");
    int blocks = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel_.function, kernel_.threads,
                                                        static_cast<std::size_t>(ring_bytes)),
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    resident_blocks_ = std::int64_t{std::max(blocks, 1)} * gpu.multiprocessors;
}

std::vector<std::string> CudaPlan::kernels() const {
    return {fmt::format("cuda/{}_{}x{}", row_.name, kernel_.weights, kernel_.tokens)};
}

Call CudaPlan::call_of(const Operands& operands) const {
    const GemmSpec& spec = this->spec();
    Call call{};
    call.weights = row_operand(operands.w, spec.w, spec.k);
    call.tokens = row_operand(operands.a, spec.a, spec.k);
    if (spec.row().scaling == Scaling::token_channel) {
        call.token_factor = operands.a_scale.as<const float>();
        call.channel_factor = operands.w_scale.as<const float>();
    } else if (spec.row().scaling != Scaling::none) {
        call.weight_scales = scale_operand(operands.w_scale, spec);
        call.token_scales = scale_operand(operands.a_scale, spec);
    }
    call.scale_layout = spec.scale_layout;
    call.scale_columns = spec.scale_columns();
    call.alpha = operands.alpha.defined() ? operands.alpha.as<const float>() : nullptr;
    call.alpha_of_expert = spec.row().alpha == Alpha::expert;
    call.factor = row_.factor;
    call.m_indptr = operands.m_indptr.as<const std::int32_t>();
    call.y = operands.y.data();
    call.dst = spec.dst;
    call.stores_pairs = spec.n % 2 == 0 && aligned(call.y, 2 * info(spec.dst).bytes);
    call.experts = spec.experts;
    call.rows = operands.a.shape()[0];
    call.n = spec.n;
    call.k = spec.k;
    call.stages = stages_;
    return call;
}

void CudaPlan::do_run(const Operands& operands, void* stream) {
    const UseDevice use(device().device_id);
    check_reachable(operands, spec(), device());
    Call call = call_of(operands);
    if (call.rows == 0) {
        return;
    }
    // Every expert with rows may have a tile that is not full.
    const std::int64_t token_tiles = divide_up(call.rows, kernel_.tokens) + std::min(call.experts, call.rows);
    const std::int64_t blocks = std::min(resident_blocks_, token_tiles * divide_up(call.n, kernel_.weights));
    void* arguments[] = {&call};
    check(cudaLaunchKernel(kernel_.function, dim3(static_cast<unsigned>(blocks)),
                           dim3(static_cast<unsigned>(kernel_.threads)), arguments,
                           static_cast<std::size_t>(stages_) * static_cast<std::size_t>(kernel_.stage_bytes),
                           static_cast<cudaStream_t>(stream)),
          kernels().front().c_str());
}

}  // namespace moegemm::cuda
