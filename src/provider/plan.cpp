#include <string_view>

#include <fmt/format.h>

#include <moegemm/error.hpp>
#include <moegemm/provider.hpp>

namespace moegemm {
namespace {

/// Packed weights and workspaces start at a cache line on a CPU, at what cudaMalloc gives on a device.
std::uintptr_t buffer_alignment(DLDevice device) noexcept { return device.device_type == kDLCPU ? 64 : 256; }

/// \throws Error invalid_argument where a buffer, otherwise checked, is absent, too short or not aligned
void check_buffer(std::string_view name, const Tensor& buffer, std::size_t bytes, DLDevice device) {
    const auto fail = [&](std::string value, std::string allowed) {
        throw Error(ErrorCode::invalid_argument, std::string(name), std::move(value), std::move(allowed));
    };
    if (!buffer.defined()) {
        fail("absent", fmt::format("a u8 tensor of at least {} bytes", bytes));
    }
    if (static_cast<std::size_t>(buffer.bytes()) < bytes) {
        fail(fmt::format("{} bytes", buffer.bytes()), fmt::format("at least {} bytes", bytes));
    }
    const auto alignment = buffer_alignment(device);
    if (reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment != 0) {
        fail(fmt::format("address {}", buffer.data()), fmt::format("a multiple of {} bytes", alignment));
    }
}

}  // namespace

void Plan::pack(const Operands& operands, const Tensor& packed, void* stream) {
    const std::size_t bytes = packed_bytes();
    if (bytes == 0) {
        throw Error(ErrorCode::unsupported, "pack", fmt::format("a plan of {}", spec_.row().name),
                    "run() alone: this plan does not pack weights");
    }
    Operands weights;
    weights.w = operands.w;
    weights.w_scale = operands.w_scale;
    weights.packed_w = packed;
    check_weights(spec_, weights, device_);
    check_buffer("packed_w", packed, bytes, device_);
    do_pack(weights, packed, stream);
}

void Plan::run(const Operands& operands, void* stream) {
    check_operands(spec_, operands, device_);
    if (operands.packed_w.defined()) {
        const std::size_t packed = packed_bytes();
        if (packed == 0) {
            throw Error(ErrorCode::invalid_argument, "packed_w", "given", "absent: this plan does not pack weights");
        }
        check_buffer("packed_w", operands.packed_w, packed, device_);
    }
    if (const std::size_t workspace = workspace_bytes(); workspace > 0) {
        check_buffer("workspace", operands.workspace, workspace, device_);
    }
    do_run(operands, stream);
}

void Plan::do_pack(const Operands& /*operands*/, const Tensor& /*packed*/, void* /*stream*/) {
    throw Error(ErrorCode::internal, "pack", "packed_bytes() > 0", "0, or a plan that overrides do_pack");
}

}  // namespace moegemm
