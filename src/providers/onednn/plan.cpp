#include "providers/onednn/plan.hpp"

#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "op/checked.hpp"
#include "providers/onednn/epilogue.hpp"

namespace moegemm::onednn {
namespace {

constexpr std::int64_t cache_line = 64;
constexpr std::int64_t sum_bytes = 4;  // i32 or f32

bool has_column_scales(const GemmSpec& spec) { return spec.row().scaling == Scaling::token_channel; }

}  // namespace

OnednnPlan::OnednnPlan(const GemmSpec& spec, DLDevice device, std::shared_ptr<const Library> library,
                       WeightOrder packed, WeightOrder plain, int threads)
    : Plan(spec, device),
      library_(std::move(library)),
      packed_(std::move(packed)),
      plain_(std::move(plain)),
      types_(ProductTypes::of(spec)),
      workspace_bytes_(types_.writes_y ? 0 : checked_mul({spec.max_rows, spec.n, sum_bytes}, "workspace")),
      threads_(threads) {
    if (packed_.desc != nullptr) {
        const auto bytes = static_cast<std::int64_t>(library_->bytes(packed_.desc.get()));
        weight_bytes_ = checked_add(bytes, cache_line - 1, "packed_w") / cache_line * cache_line;
        (void)checked_mul(weight_bytes_, spec.experts, "packed_w");
        packed_products_.emplace(library_, spec, packed_.desc.get());
    }
    if (plain_.desc != nullptr) {
        plain_products_.emplace(library_, spec, plain_.desc.get());
    }
}

std::size_t OnednnPlan::packed_scales_at() const { return static_cast<std::size_t>(weight_bytes_ * spec().experts); }

std::size_t OnednnPlan::packed_bytes() const {
    if (packed_.desc == nullptr) {
        return 0;
    }
    const std::int64_t scales = has_column_scales(spec()) ? spec().experts * spec().n : 0;
    return packed_scales_at() + static_cast<std::size_t>(scales) * sizeof(float);
}

std::vector<std::string> OnednnPlan::kernels() const {
    return {fmt::format("onednn/{}", packed_.desc != nullptr ? packed_.implementation : plain_.implementation)};
}

void OnednnPlan::do_pack(const Operands& operands, const Tensor& packed, void* /*stream*/) {
    const Library::UseThreads use(*library_, threads_);
    const Owned<api::MemoryDescObject> from = library_->matrix(spec().k, spec().n, type_code(spec().w), 1, spec().k);
    const Owned<api::PrimitiveObject> reorder =
        library_->primitive(library_->reorder(from.get(), packed_.desc.get()).get());
    const Owned<api::StreamObject> stream = library_->stream();
    const std::int64_t expert_bytes = spec().n * spec().k * info(spec().w).bytes;
    for (std::int64_t expert = 0; expert < spec().experts; ++expert) {
        const auto source = library_->memory(from.get(), operands.w.as<const std::uint8_t>() + expert * expert_bytes);
        const auto target =
            library_->memory(packed_.desc.get(), packed.as<const std::uint8_t>() + expert * weight_bytes_);
        const std::array<api::Argument, 2> arguments{{{api::arg_src, source.get()}, {api::arg_dst, target.get()}}};
        library_->execute(reorder.get(), stream.get(), arguments.data(), static_cast<int>(arguments.size()));
    }
    if (has_column_scales(spec())) {
        std::memcpy(packed.as<std::uint8_t>() + packed_scales_at(), operands.w_scale.data(),
                    static_cast<std::size_t>(operands.w_scale.bytes()));
    }
}

void OnednnPlan::do_run(const Operands& operands, void* /*stream*/) {
    const GemmSpec& spec = this->spec();
    const bool is_packed = operands.packed_w.defined();
    std::optional<Products>& products = is_packed ? packed_products_ : plain_products_;
    if (!products.has_value()) {
        throw Error(ErrorCode::unsupported, "packed_w", "absent", fmt::format("packed weights: {}", plain_.reason));
    }
    const Tensor& weights = is_packed ? operands.packed_w : operands.w;
    const std::int64_t weight_bytes = is_packed ? weight_bytes_ : spec.n * spec.k * info(spec.w).bytes;
    const api::ConstMemoryDesc order = is_packed ? packed_.desc.get() : plain_.desc.get();
    const float* column_scales =
        !has_column_scales(spec) ? nullptr
        : is_packed ? reinterpret_cast<const float*>(operands.packed_w.as<const std::uint8_t>() + packed_scales_at())
                    : operands.w_scale.as<const float>();
    const float* row_scales = has_column_scales(spec) ? operands.a_scale.as<const float>() : nullptr;
    const float* alpha = operands.alpha.defined() ? operands.alpha.as<const float>() : nullptr;
    const auto* m_indptr = operands.m_indptr.as<const std::int32_t>();

    const Library::UseThreads use(*library_, threads_);
    const Owned<api::StreamObject> stream = library_->stream();
    for (std::int64_t expert = 0; expert < spec.experts; ++expert) {
        const std::int64_t first = m_indptr[expert];
        const std::int64_t rows = m_indptr[expert + 1] - first;
        if (rows == 0) {
            continue;
        }
        const std::shared_ptr<const Product> product = products->of(rows);
        std::uint8_t* y = operands.y.as<std::uint8_t>() + first * spec.n * info(spec.dst).bytes;
        void* sum = types_.writes_y ? y : operands.workspace.data();
        const auto a = library_->memory(product->a.get(),
                                        operands.a.as<const std::uint8_t>() + first * spec.k * info(spec.a).bytes);
        const auto w = library_->memory(order, weights.as<const std::uint8_t>() + expert * weight_bytes);
        const auto out = library_->memory(product->sum.get(), sum);
        const std::array<api::Argument, 3> arguments{
            {{api::arg_src, a.get()}, {api::arg_weights, w.get()}, {api::arg_dst, out.get()}}};
        library_->execute(product->primitive.get(), stream.get(), arguments.data(), static_cast<int>(arguments.size()));
        if (!types_.writes_y) {
            const Factors factors{row_scales == nullptr ? nullptr : row_scales + first,
                                  column_scales == nullptr ? nullptr : column_scales + expert * spec.n, alpha};
            finish(sum, types_.sum_dtype, factors, rows, spec.n, y, spec.dst);
        }
    }
}

}  // namespace moegemm::onednn
