/// \file
/// Whether the GPU can follow a call's pointers.
#pragma once

#include <cstdint>
#include <string>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <moegemm/tensor.hpp>

#include "cuda/error.hpp"
#include "op/tensor_name.hpp"

namespace moegemm::cuda {

/// A pointer that the GPU cannot follow would end the process's CUDA context: refused before anything is launched.
/// \throws Error invalid_argument naming the tensor
inline void check_reachable(const Operands& operands, const GemmSpec& spec, DLDevice device) {
    for (int i = 0; i < role_count; ++i) {
        const auto role = static_cast<Role>(i);
        const Tensor& tensor = operands[role];
        if (!tensor.defined() || tensor.elements() == 0) {
            continue;
        }
        cudaPointerAttributes attributes{};
        check(cudaPointerGetAttributes(&attributes, tensor.data()), "cudaPointerGetAttributes");
        const bool reachable = attributes.type == cudaMemoryTypeManaged ||
                               (attributes.type == cudaMemoryTypeDevice && attributes.device == device.device_id);
        if (!reachable) {
            throw Error(ErrorCode::invalid_argument, std::string(tensor_name(spec.row(), role)),
                        attributes.type == cudaMemoryTypeDevice ? fmt::format("memory of GPU {}", attributes.device)
                                                                : std::string("host memory"),
                        fmt::format("memory of GPU {}", device.device_id));
        }
    }
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
