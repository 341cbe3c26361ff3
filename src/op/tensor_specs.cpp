#include <initializer_list>

#include <moegemm/tensor.hpp>

#include "op/checked.hpp"
#include "op/scale_shape.hpp"
#include "op/tensor_name.hpp"
#include "op/tensor_shapes.hpp"

namespace moegemm {
namespace {

/// fp8_block's W has one scale per 128 rows.
constexpr std::int64_t block_rows = 128;

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) {
    return value / divisor + (value % divisor != 0 ? 1 : 0);
}

void add(TensorShapes& shapes, const GemmSpec& spec, Role role, DType dtype,
         std::initializer_list<std::int64_t> extents) {
    TensorShape& tensor = shapes.tensors[shapes.count++];
    tensor.role = role;
    tensor.name = tensor_name(spec.row(), role);
    tensor.dtype = dtype;
    tensor.bytes = info(dtype).bytes;
    for (const std::int64_t extent : extents) {
        tensor.extents[static_cast<std::size_t>(tensor.rank++)] = extent;
        tensor.bytes = checked_mul(tensor.bytes, extent, tensor.name);
    }
}

void add_a_scale(TensorShapes& shapes, const GemmSpec& spec, std::int64_t rows) {
    const VariantInfo& row = spec.row();
    if (!row.a_scaled) {
        return;
    }
    const std::int64_t columns = spec.scale_columns();
    if (row.scaling == Scaling::token_channel) {
        add(shapes, spec, Role::a_scale, row.scale_dtype, {rows});
    } else if (spec.scale_layout == ScaleLayout::mn_major) {
        add(shapes, spec, Role::a_scale, row.scale_dtype, {columns, rows});
    } else if (spec.scale_layout == ScaleLayout::k_major) {
        add(shapes, spec, Role::a_scale, row.scale_dtype, {rows, columns});
    } else {
        const auto shape = a_scale_shape(spec.scale_layout, rows, spec.experts, columns);
        add(shapes, spec, Role::a_scale, row.scale_dtype, {shape[0], shape[1]});
    }
}

void add_w_scale(TensorShapes& shapes, const GemmSpec& spec) {
    const VariantInfo& row = spec.row();
    const std::int64_t columns = spec.scale_columns();
    if (row.scaling == Scaling::none) {
        return;
    }
    if (row.scaling == Scaling::token_channel) {
        add(shapes, spec, Role::w_scale, row.scale_dtype, {spec.experts, spec.n});
    } else if (spec.scale_layout == ScaleLayout::mn_major) {
        add(shapes, spec, Role::w_scale, row.scale_dtype, {spec.experts, columns, divide_up(spec.n, block_rows)});
    } else if (spec.scale_layout == ScaleLayout::k_major) {
        add(shapes, spec, Role::w_scale, row.scale_dtype, {spec.experts, divide_up(spec.n, block_rows), columns});
    } else {
        const auto shape = w_scale_shape(spec.scale_layout, spec.n, columns);
        add(shapes, spec, Role::w_scale, row.scale_dtype, {spec.experts, shape[0], shape[1]});
    }
}

}  // namespace

TensorShapes tensor_shapes(const GemmSpec& spec, std::int64_t rows) {
    TensorShapes shapes;
    add(shapes, spec, Role::a, spec.a, {rows, spec.k / info(spec.a).values});
    add(shapes, spec, Role::w, spec.w, {spec.experts, spec.n, spec.k / info(spec.w).values});
    add_a_scale(shapes, spec, rows);
    add_w_scale(shapes, spec);
    if (spec.has_alpha) {
        add(shapes, spec, Role::alpha, DType::f32, {spec.row().alpha == Alpha::expert ? spec.experts : 1});
    }
    add(shapes, spec, Role::m_indptr, DType::i32, {checked_add(spec.experts, 1, "m_indptr")});
    add(shapes, spec, Role::y, spec.dst, {rows, spec.n});
    return shapes;
}

std::vector<TensorSpec> tensor_specs(const GemmSpec& spec, std::int64_t rows) {
    std::vector<TensorSpec> specs;
    specs.reserve(role_count);
    for (const TensorShape& tensor : tensor_shapes(spec, rows)) {
        specs.push_back({tensor.role,
                         std::string(tensor.name),
                         tensor.dtype,
                         {tensor.shape().begin(), tensor.shape().end()},
                         tensor.bytes});
    }
    return specs;
}

}  // namespace moegemm
