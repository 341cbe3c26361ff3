#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/tensor.hpp>

#include "op/tensor_name.hpp"
#include "op/tensor_shapes.hpp"

namespace moegemm {
namespace {

/// A tensor of the call under the name that messages use.
struct NamedTensor {
    std::string_view name;
    const Tensor* tensor;
};

[[noreturn]] void throw_tensor(std::string_view name, std::string value, std::string allowed) {
    throw Error(ErrorCode::invalid_argument, std::string(name), std::move(value), std::move(allowed));
}

std::string shape_text(std::span<const std::int64_t> shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

std::string device_text(DLDevice device) {
    return fmt::format("device type {}, number {}", static_cast<int>(device.device_type), device.device_id);
}

bool same_device(DLDevice left, DLDevice right) {
    return left.device_type == right.device_type && (left.device_type == kDLCPU || left.device_id == right.device_id);
}

/// What every tensor must be, whatever its role.
void check_memory(std::string_view name, const Tensor& tensor, DLDevice device) {
    if (!same_device(tensor.device(), device)) {
        throw_tensor(name, device_text(tensor.device()), fmt::format("the plan's {}", device_text(device)));
    }
    if (tensor.elements() == 0) {
        return;
    }
    if (tensor.data() == nullptr) {
        throw_tensor(name, "a null pointer", fmt::format("the address of its {} elements", tensor.elements()));
    }
    const std::int64_t element = info(tensor.dtype()).bytes;
    if (reinterpret_cast<std::uintptr_t>(tensor.data()) % static_cast<std::uintptr_t>(element) != 0) {
        throw_tensor(name, fmt::format("address {}", tensor.data()),
                     fmt::format("a multiple of its element's {} bytes", element));
    }
}

void check_tensor(const TensorShape& spec, const Tensor& tensor, DLDevice device) {
    if (!tensor.defined()) {
        throw_tensor(spec.name, "absent", fmt::format("{} {}", info(spec.dtype).name, shape_text(spec.shape())));
    }
    if (!dl_matches(spec.dtype, info(tensor.dtype()).dl)) {
        throw_tensor(spec.name, std::string(info(tensor.dtype()).name), std::string(info(spec.dtype).name));
    }
    if (!std::ranges::equal(tensor.shape(), spec.shape())) {
        throw_tensor(spec.name, fmt::format("shape {}", shape_text(tensor.shape())),
                     fmt::format("shape {}", shape_text(spec.shape())));
    }
    check_memory(spec.name, tensor, device);
}

/// Bytes for a provider's own use; how many it needs, the plan says.
void check_bytes(std::string_view name, const Tensor& tensor, DLDevice device) {
    if (!tensor.defined()) {
        return;
    }
    if (tensor.dtype() != DType::u8 || tensor.shape().size() != 1) {
        throw_tensor(name, fmt::format("{} {}", info(tensor.dtype()).name, shape_text(tensor.shape())),
                     "u8 of one dimension");
    }
    check_memory(name, tensor, device);
}

/// R, the rows of A.
std::int64_t row_count(const GemmSpec& spec, const Tensor& a) {
    const std::string_view name = tensor_name(spec.row(), Role::a);
    if (!a.defined()) {
        throw_tensor(name, "absent", fmt::format("{} (R, {})", info(spec.a).name, spec.k / info(spec.a).values));
    }
    if (a.shape().size() != 2) {
        throw_tensor(name, fmt::format("shape {}", shape_text(a.shape())),
                     fmt::format("shape (R, {})", spec.k / info(spec.a).values));
    }
    const std::int64_t rows = a.shape()[0];
    if (rows > spec.max_rows) {
        throw_tensor(name, fmt::format("{} rows", rows), fmt::format("at most the plan's max_rows, {}", spec.max_rows));
    }
    return rows;
}

bool overlap(const Tensor& left, const Tensor& right) {
    const auto left_begin = reinterpret_cast<std::uintptr_t>(left.data());
    const auto right_begin = reinterpret_cast<std::uintptr_t>(right.data());
    const auto left_bytes = static_cast<std::uintptr_t>(left.bytes());
    const auto right_bytes = static_cast<std::uintptr_t>(right.bytes());
    if (left_bytes == 0 || right_bytes == 0) {
        return false;
    }
    return left_begin < right_begin ? right_begin - left_begin < left_bytes : left_begin - right_begin < right_bytes;
}

/// What is written must share no byte with anything else of the call.
void check_overlap(const GemmSpec& spec, const Operands& operands) {
    const VariantInfo& row = spec.row();
    std::array<NamedTensor, role_count + 2> tensors{};
    for (int i = 0; i < role_count; ++i) {
        const auto role = static_cast<Role>(i);
        tensors[static_cast<std::size_t>(i)] = {tensor_name(row, role), &operands[role]};
    }
    tensors[role_count] = {"packed_w", &operands.packed_w};
    tensors[role_count + 1] = {"workspace", &operands.workspace};
    const std::array<NamedTensor, 2> written{{{"y", &operands.y}, {"workspace", &operands.workspace}}};
    for (const NamedTensor& target : written) {
        for (const NamedTensor& other : tensors) {
            if (other.tensor != target.tensor && overlap(*target.tensor, *other.tensor)) {
                throw_tensor(target.name, fmt::format("memory that overlaps {}", other.name),
                             fmt::format("memory apart from that of {}", other.name));
            }
        }
    }
}

/// The values of row offsets that the host can read: m_indptr itself on a CPU, the copy of a device's elsewhere.
void check_host_rows(const GemmSpec& spec, const Operands& operands, DLDevice device, std::int64_t rows) {
    const auto entries = static_cast<std::size_t>(spec.experts) + 1;
    const std::span<const std::int32_t> copy(operands.host_m_indptr, operands.host_m_indptr == nullptr ? 0 : entries);
    if (device.device_type != kDLCPU) {
        if (!copy.empty()) {
            check_m_indptr(copy, spec.experts, rows);
        }
        return;
    }
    const std::span<const std::int32_t> m_indptr(operands.m_indptr.as<const std::int32_t>(), entries);
    check_m_indptr(m_indptr, spec.experts, rows);
    if (!copy.empty() && !std::ranges::equal(copy, m_indptr)) {
        throw_tensor("host_m_indptr", "other values than m_indptr", "a copy of m_indptr");
    }
}

}  // namespace

const Tensor& Operands::operator[](Role role) const noexcept {
    switch (role) {
        case Role::a:
            return a;
        case Role::w:
            return w;
        case Role::a_scale:
            return a_scale;
        case Role::w_scale:
            return w_scale;
        case Role::alpha:
            return alpha;
        case Role::m_indptr:
            return m_indptr;
        case Role::y:
            return y;
    }
    return a;
}

Tensor& Operands::operator[](Role role) noexcept { return const_cast<Tensor&>(std::as_const(*this)[role]); }

void check_operands(const GemmSpec& spec, const Operands& operands, DLDevice device) {
    const std::int64_t rows = row_count(spec, operands.a);
    std::array<bool, role_count> wanted{};
    for (const TensorShape& tensor : tensor_shapes(spec, rows)) {
        wanted[static_cast<std::size_t>(tensor.role)] = true;
        const bool packed = operands.packed_w.defined() && (tensor.role == Role::w || tensor.role == Role::w_scale);
        if (!packed || operands[tensor.role].defined()) {
            check_tensor(tensor, operands[tensor.role], device);
        }
    }
    for (int i = 0; i < role_count; ++i) {
        const auto role = static_cast<Role>(i);
        if (!wanted[static_cast<std::size_t>(i)] && operands[role].defined()) {
            throw_tensor(tensor_name(spec.row(), role), "given",
                         fmt::format("absent: {} was planned without it", spec.row().name));
        }
    }
    check_bytes("packed_w", operands.packed_w, device);
    check_bytes("workspace", operands.workspace, device);
    check_host_rows(spec, operands, device, rows);
    check_overlap(spec, operands);
}

void check_weights(const GemmSpec& spec, const Operands& operands, DLDevice device) {
    for (const TensorShape& tensor : tensor_shapes(spec, 0)) {
        if (tensor.role == Role::w || tensor.role == Role::w_scale) {
            check_tensor(tensor, operands[tensor.role], device);
        }
    }
    if (spec.row().scaling == Scaling::none && operands.w_scale.defined()) {
        throw_tensor(tensor_name(spec.row(), Role::w_scale), "given",
                     fmt::format("absent: {} has none", spec.row().name));
    }
    check_bytes("packed_w", operands.packed_w, device);
    for (const Role role : {Role::w, Role::w_scale}) {
        if (overlap(operands.packed_w, operands[role])) {
            throw_tensor("packed_w", fmt::format("memory that overlaps {}", tensor_name(spec.row(), role)),
                         "memory of its own");
        }
    }
}

}  // namespace moegemm
