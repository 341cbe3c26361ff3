/// \file
/// Whether the GPU can follow a call's pointers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <moegemm/tensor.hpp>

#include "cuda/error.hpp"
#include "op/tensor_name.hpp"

namespace moegemm::cuda {

/// A pointer that the GPU cannot follow would end the process's CUDA context: refused before anything is launched.
/// \throws Error invalid_argument naming the tensor
inline void check_reachable(const Tensor& tensor, std::string_view name, DLDevice device) {
    if (!tensor.defined() || tensor.elements() == 0) {
        return;
    }
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, tensor.data()), "cudaPointerGetAttributes");
    const bool reachable = attributes.type == cudaMemoryTypeManaged ||
                           (attributes.type == cudaMemoryTypeDevice && attributes.device == device.device_id);
    if (!reachable) {
        throw Error(ErrorCode::invalid_argument, std::string(name),
                    attributes.type == cudaMemoryTypeDevice ? fmt::format("memory of GPU {}", attributes.device)
                                                            : std::string("host memory"),
                    fmt::format("memory of GPU {}", device.device_id));
    }
}
/// The same of all tensors of a call and its workspace.
inline void check_reachable(const Operands& operands, const GemmSpec& spec, DLDevice device) {
    for (int i = 0; i < role_count; ++i) {
        const auto role = static_cast<Role>(i);
        check_reachable(operands[role], tensor_name(spec.row(), role), device);
    }
    check_reachable(operands.workspace, "workspace", device);
}

/// \throws Error unsupported naming a tensor whose base is no multiple of `bytes`: more than the contract asks for
inline void check_alignment(const Operands& operands, const GemmSpec& spec, std::uintptr_t bytes) {
    for (const Role role : {Role::a, Role::w, Role::y}) {
        const Tensor& tensor = operands[role];
        if (reinterpret_cast<std::uintptr_t>(tensor.data()) % bytes != 0) {
            throw Error(ErrorCode::unsupported, std::string(tensor_name(spec.row(), role)),
                        fmt::format("address {}", tensor.data()), fmt::format("a multiple of {} bytes", bytes));
        }
    }
}

}  // namespace moegemm::cuda
