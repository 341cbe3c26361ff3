#include "providers/cpu/shape.hpp"

#include "op/checked.hpp"

namespace moegemm::cpu {
namespace {

Element element_of(DType dtype) noexcept {
    switch (dtype) {
        case DType::i8:
            return Element::i8;
        case DType::e4m3:
            return Element::e4m3;
        case DType::e5m2:
            return Element::e5m2;
        case DType::e2m1x2:
            return Element::e2m1;
        default:
            return Element::bf16;
    }
}

GroupScale scale_of(const VariantInfo& row) noexcept {
    if (row.scaling != Scaling::group) {
        return GroupScale::none;
    }
    return row.scale_dtype == DType::ue8m0 ? GroupScale::ue8m0 : GroupScale::ue4m3;
}

WeightFormat format_of(Element element, GroupScale scale) noexcept {
    switch (element) {
        case Element::bf16:
            return WeightFormat::bf16;
        case Element::i8:
            return WeightFormat::i8;
        case Element::e4m3:
            return scale == GroupScale::none ? WeightFormat::e4m3 : WeightFormat::e4m3_ue8m0;
        case Element::e5m2:
            return scale == GroupScale::none ? WeightFormat::e5m2 : WeightFormat::e5m2_ue8m0;
        case Element::e2m1:
            break;
    }
    return scale == GroupScale::ue8m0 ? WeightFormat::e2m1_ue8m0 : WeightFormat::e2m1_ue4m3;
}

Combine combine_of(const GemmSpec& spec) noexcept {
    if (spec.a == DType::i8) {
        return Combine::add_int;
    }
    return spec.row().scaling == Scaling::block ? Combine::add_scaled : Combine::add;
}

Finish finish_of(const GemmSpec& spec) noexcept {
    if (spec.row().scaling != Scaling::token_channel) {
        return Finish::row;
    }
    return spec.a == DType::i8 ? Finish::row_column_int : Finish::row_column;
}

int log2_of(std::int64_t power) noexcept { return __builtin_ctzll(static_cast<unsigned long long>(power)); }

}  // namespace

Shape Shape::from(const GemmSpec& spec, const KernelFamily& family) {
    Shape shape{};
    shape.spec = spec;
    shape.family = &family;
    shape.kernels = family.f32;
    shape.int8_dot = spec.a == DType::i8 && family.int8 != nullptr;
    shape.a = element_of(spec.a);
    shape.w = element_of(spec.w);
    shape.scale = scale_of(spec.row());
    shape.format = format_of(shape.w, shape.scale);
    shape.combine = combine_of(spec);
    shape.finish = finish_of(spec);
    shape.dst = spec.dst == DType::bf16 ? Dst::bf16 : spec.dst == DType::f16 ? Dst::f16 : Dst::f32;
    const bool without_tiles = family.matrix == nullptr || (shape.int8_dot && family.matrix->int8_sums == nullptr);
    shape.matrix = without_tiles ? nullptr : family.matrix;
    shape.block_depth = shape.int8_dot ? int8_k_block : k_block;
    shape.k_blocks = checked_add(spec.k, shape.block_depth - 1, "hidden_size") / shape.block_depth;
    shape.panels = checked_add(spec.n, 2 * panel_columns - 1, "new_hidden_size") / (2 * panel_columns) * 2;
    shape.a_row_bytes = spec.k / info(spec.a).values * info(spec.a).bytes;
    shape.w_row_bytes = spec.k / info(spec.w).values * info(spec.w).bytes;
    const std::int64_t group = group_sizes[static_cast<std::size_t>(shape.scale)];
    shape.block_groups = shape.scale == GroupScale::none ? 0 : k_block / group;
    shape.group_shift = log2_of(group);
    return shape;
}

}  // namespace moegemm::cpu
