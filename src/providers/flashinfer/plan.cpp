#include "providers/flashinfer/plan.hpp"

#include <array>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "op/tensor_name.hpp"

namespace moegemm::flashinfer {
namespace {

/// FlashInfer's defaults: a tile of 128×128×128, one SM an MMA, W as the matrix with the tile's rows.
constexpr std::int64_t tile = 128;
constexpr std::int64_t sms_an_mma = 1;
constexpr bool swap_ab = true;
/// fp8_block's scale granularities along M, N, K.
constexpr std::array<std::int64_t, 3> block{1, 128, 128};

constexpr DLDataType bytes_type{kDLUInt, 8, 1};
constexpr DLDataType i32_type{kDLInt, 32, 1};
constexpr DLDataType i64_type{kDLInt, 64, 1};
constexpr DLDataType f32_type{kDLFloat, 32, 1};

/// A contiguous DLPack tensor that holds its own shape. Not to be copied or moved.
class View {
public:
    View(void* data, DLDataType type, DLDevice device, std::initializer_list<std::int64_t> shape) {
        std::int64_t* to = shape_.data();
        for (const std::int64_t extent : shape) {
            *to++ = extent;
        }
        tensor_.ndim = static_cast<std::int32_t>(shape.size());
        std::int64_t stride = 1;
        for (std::size_t i = shape.size(); i-- > 0;) {
            strides_[i] = stride;
            stride *= shape_[i];
        }
        tensor_.data = data;
        tensor_.device = device;
        tensor_.dtype = type;
        tensor_.shape = shape_.data();
        tensor_.strides = strides_.data();
    }
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    operator Argument() const noexcept { return &tensor_; }  // NOLINT(google-explicit-constructor): it stands for one

private:
    std::array<std::int64_t, 3> shape_{};
    std::array<std::int64_t, 3> strides_{};
    DLTensor tensor_{};
};

/// Packed e2m1 travels as bytes.
DLDataType element_type(DType dtype) { return dtype == DType::e2m1x2 ? bytes_type : info(dtype).dl; }

/// Where a part of the workspace begins.
template <class T>
T* at(const Tensor& workspace, Part part) {
    return reinterpret_cast<T*>(workspace.as<std::uint8_t>() + part.offset);
}

View byte_view(const Tensor& workspace, Part part) {
    return {at<void>(workspace, part), bytes_type, workspace.device(), {static_cast<std::int64_t>(part.bytes)}};
}

/// FlashInfer's kernels load 16 bytes at a time and end the process where they cannot; ours, 4 of one-byte scales.
void check_aligned(const GemmSpec& spec, const Operands& operands) {
    const auto check = [&](Role role, std::uintptr_t bytes) {
        const Tensor& tensor = operands[role];
        if (tensor.defined() && reinterpret_cast<std::uintptr_t>(tensor.data()) % bytes != 0) {
            throw Error(ErrorCode::invalid_argument, std::string(tensor_name(spec.row(), role)),
                        fmt::format("address {}", tensor.data()), fmt::format("a multiple of {} bytes", bytes));
        }
    };
    check(Role::a, 16);
    check(Role::w, 16);
    check(Role::y, 16);
    check(Role::a_scale, 4);
    check(Role::w_scale, spec.scale_layout == ScaleLayout::linear ? 1 : 16);
}

}  // namespace

FlashInferPlan::FlashInferPlan(const GemmSpec& spec, DLDevice device, const Entry& entry,
                               std::shared_ptr<const Module> module, std::shared_ptr<const Machine> machine)
    : Plan(spec, device),
      entry_(entry),
      module_(std::move(module)),
      machine_(std::move(machine)),
      workspace_(Workspace::of(entry, spec)) {}

std::vector<std::string> FlashInferPlan::kernels() const {
    return {fmt::format("{}.{}", entry_.module, entry_.function)};
}

void FlashInferPlan::do_run(const Operands& operands, void* stream) {
    check_aligned(spec(), operands);
    machine_->check_reachable(spec(), operands, device());
    if (operands.a.shape()[0] == 0) {
        return;
    }
    if (takes_pointers(entry_.signature)) {
        run_segments(operands, stream);
    } else {
        run_padded(operands, stream);
    }
}

void FlashInferPlan::run_segments(const Operands& operands, void* stream) const {
    const GemmSpec& spec = this->spec();
    const Tensor& memory = operands.workspace;
    const auto* m_indptr = operands.m_indptr.as<const std::int32_t>();
    const std::int64_t experts = spec.experts;
    const std::int64_t out_bytes = info(spec.dst).bytes;
    auto* problems = at<std::int32_t>(memory, workspace_.problems);
    auto* pointers = at<std::int64_t>(memory, workspace_.pointers);
    auto* strides = at<std::int64_t>(memory, workspace_.strides);
    machine_->run(
        SegmentArguments{m_indptr, experts, spec.n, spec.k, reinterpret_cast<std::uintptr_t>(operands.a.data()),
                         reinterpret_cast<std::uintptr_t>(operands.w.data()),
                         reinterpret_cast<std::uintptr_t>(operands.y.data()), info(spec.a).bytes, out_bytes, problems,
                         pointers, strides},
        device(), stream);

    const DLDevice where = device();
    const View ints = byte_view(memory, workspace_.ints);
    const View sizes(problems, i32_type, where, {experts, 3});
    const View x(pointers, i64_type, where, {experts});
    const View w(pointers + experts, i64_type, where, {experts});
    const View y(pointers + 2 * experts, i64_type, where, {experts});
    const View x_stride(strides, i64_type, where, {experts});
    const View w_stride(strides + experts, i64_type, where, {experts});
    const View y_stride(strides + 2 * experts, i64_type, where, {experts});
    const View empty_x(operands.a.data(), element_type(spec.a), where, {0});
    const View empty_y(operands.y.data(), element_type(spec.dst), where, {0});
    constexpr bool weight_column_major = true;
    if (entry_.signature == Signature::segment_sm80) {
        // It adds to what y holds: its epilogue's beta is 1.
        machine_->run(ClearRows{m_indptr, experts, operands.y.as<Piece>(), spec.n * out_bytes / piece_bytes,
                                operands.y.shape()[0]},
                      where, stream);
        const std::array<Argument, 10> arguments{ints,     sizes,    x,        w,       y,
                                                 x_stride, w_stride, y_stride, empty_x, weight_column_major};
        module_->call(entry_.function, arguments, where, stream);
    } else {
        const View floats = byte_view(memory, workspace_.floats);
        const std::array<Argument, 12> arguments{floats,   ints,     sizes,    x,       w,       y,
                                                 x_stride, w_stride, y_stride, empty_x, empty_y, weight_column_major};
        module_->call(entry_.function, arguments, where, stream);
    }
}

void FlashInferPlan::run_padded(const Operands& operands, void* stream) const {
    const GemmSpec& spec = this->spec();
    const Tensor& memory = operands.workspace;
    const DLDevice where = device();
    const std::int64_t experts = spec.experts;
    const std::int64_t total_rows = operands.a.shape()[0];
    const std::int64_t capacity = padded_capacity(total_rows, experts);
    const std::int64_t columns = spec.scale_columns();
    const std::int64_t stored_k = spec.k / info(spec.a).values;
    const Rows rows{operands.m_indptr.as<const std::int32_t>(), at<std::int32_t>(memory, workspace_.padded), experts};
    auto* a = at<Piece>(memory, workspace_.a);
    auto* y = at<Piece>(memory, workspace_.y);
    const std::int64_t y_pieces = spec.n * info(spec.dst).bytes / piece_bytes;

    machine_->run(PadStarts{rows.m_indptr, at<std::int32_t>(memory, workspace_.padded), experts}, where, stream);
    machine_->run(PadRows{rows, operands.a.as<const Piece>(), a, stored_k / piece_bytes, capacity}, where, stream);

    const View ints = byte_view(memory, workspace_.ints);
    const View floats = byte_view(memory, workspace_.floats);
    const View a_view(a, element_type(spec.a), where, {capacity, stored_k});
    const View w_view(operands.w.data(), element_type(spec.w), where, {experts, spec.n, spec.k / info(spec.w).values});
    const View y_view(y, element_type(spec.dst), where, {capacity, spec.n});
    const View starts(at<std::int32_t>(memory, workspace_.padded), i32_type, where, {experts + 1});

    if (spec.row().scaling == Scaling::block) {
        auto* a_scale = at<float>(memory, workspace_.a_scale);
        machine_->run(PadBlockScales{rows, spec.scale_layout, operands.a_scale.as<const float>(), a_scale, columns,
                                     total_rows, capacity},
                      where, stream);
        const bool mn_major = spec.scale_layout == ScaleLayout::mn_major;
        const std::int64_t n_blocks = spec.n / block[1];
        const View sfa(a_scale, f32_type, where, {mn_major ? columns : capacity, mn_major ? capacity : columns});
        const View sfb(operands.w_scale.data(), f32_type, where,
                       {experts, mn_major ? columns : n_blocks, mn_major ? n_blocks : columns});
        const std::array<Argument, 15> arguments{
            ints,      floats, a_view, w_view,   sfa,      sfb,      y_view,
            starts,    spec.n, spec.k, block[0], block[1], block[2], mn_major ? "MN" : "K",
            sms_an_mma};
        module_->call(entry_.function, std::span(arguments).first(entry_.signature == Signature::block_sm100 ? 15 : 14),
                      where, stream);
    } else {
        auto* a_scale = at<std::uint32_t>(memory, workspace_.a_scale);
        machine_->run(PadGroupScales{rows, spec.scale_layout, operands.a_scale.as<const std::uint32_t>(), a_scale,
                                     columns, total_rows, capacity},
                      where, stream);
        void* w_scale = operands.w_scale.data();
        if (spec.scale_layout == ScaleLayout::linear) {
            auto* swizzled = at<std::uint32_t>(memory, workspace_.w_scale);
            machine_->run(
                SwizzleWeightScales{operands.w_scale.as<const std::uint8_t>(), swizzled, experts, spec.n, columns},
                where, stream);
            w_scale = swizzled;
        }
        const View sfa(a_scale, bytes_type, where, {scales::swizzled_total_rows(capacity, experts), columns});
        const View sfb(w_scale, bytes_type, where, {experts, scales::padded_rows(spec.n), columns});
        if (entry_.signature == Signature::nv_sm120) {
            const View alpha(operands.alpha.data(), f32_type, where, {spec.has_alpha ? experts : 0});
            const std::array<Argument, 15> arguments{ints,   floats, a_view, w_view, sfa,  sfb,  y_view, alpha,
                                                     starts, spec.n, spec.k, tile,   tile, tile, swap_ab};
            module_->call(entry_.function, arguments, where, stream);
        } else if (entry_.signature == Signature::mx_sm120) {
            const std::array<Argument, 14> arguments{ints,   floats, a_view, w_view, sfa,  sfb,  y_view,
                                                     starts, spec.n, spec.k, tile,   tile, tile, swap_ab};
            module_->call(entry_.function, arguments, where, stream);
        } else {
            const std::array<Argument, 15> arguments{ints,   floats, a_view,     w_view, sfa,  sfb,  y_view, starts,
                                                     spec.n, spec.k, sms_an_mma, tile,   tile, tile, swap_ab};
            module_->call(entry_.function, arguments, where, stream);
        }
    }

    machine_->run(GatherRows{rows, y, operands.y.as<Piece>(), y_pieces, total_rows}, where, stream);
}

}  // namespace moegemm::flashinfer
