#include "providers/onednn/epilogue.hpp"

#include <moegemm/formats/bf16.hpp>
#include <moegemm/formats/f16.hpp>

namespace moegemm::onednn {
namespace {

template <class Sum, class Out, class Round>
void finish_rows(const Sum* sum, const Factors& factors, std::int64_t rows, std::int64_t columns, Out* y, Round round) {
    const float all = factors.all == nullptr ? 1.0F : *factors.all;
    for (std::int64_t i = 0; i < rows; ++i) {
        const Sum* from = sum + i * columns;
        Out* to = y + i * columns;
        if (factors.columns == nullptr) {
            for (std::int64_t n = 0; n < columns; ++n) {
                to[n] = round(static_cast<float>(from[n]) * all);
            }
        } else {
            const float row = factors.rows[i];
            for (std::int64_t n = 0; n < columns; ++n) {
                to[n] = round(static_cast<float>(from[n]) * row * factors.columns[n]);
            }
        }
    }
}

template <class Sum>
void finish_to(const Sum* sum, const Factors& factors, std::int64_t rows, std::int64_t columns, void* y, DType dst) {
    switch (dst) {
        case DType::bf16:
            return finish_rows(sum, factors, rows, columns, static_cast<std::uint16_t*>(y),
                               [](float value) { return formats::Bf16::encode(value); });
        case DType::f16:
            return finish_rows(sum, factors, rows, columns, static_cast<std::uint16_t*>(y),
                               [](float value) { return formats::F16::encode(value); });
        default:
            return finish_rows(sum, factors, rows, columns, static_cast<float*>(y), [](float value) { return value; });
    }
}

}  // namespace

void finish(const void* sum, DType sum_type, const Factors& factors, std::int64_t rows, std::int64_t columns, void* y,
            DType dst) {
    if (sum_type == DType::i32) {
        return finish_to(static_cast<const std::int32_t*>(sum), factors, rows, columns, y, dst);
    }
    return finish_to(static_cast<const float*>(sum), factors, rows, columns, y, dst);
}

}  // namespace moegemm::onednn
