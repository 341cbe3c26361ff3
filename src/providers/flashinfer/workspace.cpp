#include "providers/flashinfer/workspace.hpp"

#include <initializer_list>

#include "op/checked.hpp"
#include "providers/flashinfer/maps.hpp"

namespace moegemm::flashinfer {
namespace {

/// What FlashInfer's Python functions allocate: gemm_base.py, DEFAULT_WORKSPACE_SIZE and SegmentGEMMWrapper.
constexpr std::int64_t mib = 1 << 20;
constexpr std::int64_t group_workspace_bytes = 32 * mib;
constexpr std::int64_t segment_float_workspace_bytes = 128 * mib;
constexpr std::int64_t segment_int_workspace_bytes = 1 * mib;

/// As cudaMalloc gives, and more than any part needs.
constexpr std::int64_t part_alignment = 256;

class Layout {
public:
    Part add(std::initializer_list<std::int64_t> factors) {
        const std::int64_t bytes = checked_mul(factors, "workspace");
        const Part part{static_cast<std::size_t>(end_), static_cast<std::size_t>(bytes)};
        const std::int64_t whole =
            checked_add(bytes, part_alignment - 1, "workspace") / part_alignment * part_alignment;
        end_ = checked_add(end_, whole, "workspace");
        return part;
    }
    [[nodiscard]] std::size_t end() const noexcept { return static_cast<std::size_t>(end_); }

private:
    std::int64_t end_ = 0;
};

}  // namespace

Workspace Workspace::of(const Entry& entry, const GemmSpec& spec) {
    Layout layout;
    Workspace all;
    if (takes_pointers(entry.signature)) {
        if (entry.signature == Signature::segment_sm90) {
            all.floats = layout.add({segment_float_workspace_bytes});
        }
        all.ints = layout.add({segment_int_workspace_bytes});
        all.problems = layout.add({spec.experts, 3, std::int64_t{sizeof(std::int32_t)}});
        all.pointers = layout.add({3, spec.experts, std::int64_t{sizeof(std::int64_t)}});
        all.strides = layout.add({3, spec.experts, std::int64_t{sizeof(std::int64_t)}});
    } else {
        const std::int64_t rows = padded_capacity(spec.max_rows, spec.experts);
        const std::int64_t columns = spec.scale_columns();
        all.floats = layout.add({group_workspace_bytes});
        all.ints = layout.add({group_workspace_bytes});
        all.padded = layout.add({spec.experts + 1, std::int64_t{sizeof(std::int32_t)}});
        all.a = layout.add({rows, spec.k / info(spec.a).values, info(spec.a).bytes});
        if (spec.row().scaling == Scaling::group) {
            all.a_scale = layout.add({scales::swizzled_total_rows(rows, spec.experts), columns});
            if (spec.scale_layout == ScaleLayout::linear) {
                all.w_scale = layout.add({spec.experts, scales::padded_rows(spec.n), columns});
            }
        } else {
            all.a_scale = layout.add({rows, columns, std::int64_t{sizeof(float)}});
        }
        all.y = layout.add({rows, spec.n, info(spec.dst).bytes});
    }
    all.bytes = layout.end();
    return all;
}

}  // namespace moegemm::flashinfer
