#include "op/random/operand_fill.hpp"

#include <algorithm>

namespace moegemm {
namespace {

constexpr std::uint64_t draw_count = 65536;

/// \param code of 16 random bits
template <class Element, class Code>
void fill_range(const OperandGenerator& generator, const Code& code, std::uint64_t first, std::uint64_t count,
                Element* destination) {
    const std::uint64_t end = first + count;
    const auto fill_within_block = [&](std::uint64_t begin, std::uint64_t stop) {
        const PhiloxBlock random = generator.draws(begin / operand_block_elements);
        for (std::uint64_t index = begin; index < stop; ++index) {
            *destination++ = code(random.half(static_cast<unsigned>(index % operand_block_elements)));
        }
    };
    const std::uint64_t head_end =
        std::min(end, (first + operand_block_elements - 1) / operand_block_elements * operand_block_elements);
    if (first < head_end) {
        fill_within_block(first, head_end);
    }
    const std::uint64_t end_block = end / operand_block_elements;
    for (std::uint64_t block = head_end / operand_block_elements; block < end_block; ++block) {
        const PhiloxBlock random = generator.draws(block);
        for (unsigned lane = 0; lane < operand_block_elements; ++lane) {
            destination[lane] = code(random.half(lane));
        }
        destination += operand_block_elements;
    }
    const std::uint64_t tail = std::max(head_end, end_block * operand_block_elements);
    if (tail < end) {
        fill_within_block(tail, end);
    }
}

}  // namespace

OperandFiller::OperandFiller(const OperandGenerator& generator, std::uint64_t elements) : generator_(generator) {
    switch (info(generator.dtype).bytes) {
        case 1:
            table_ = Table<std::uint8_t>();
            break;
        case 2:
            table_ = Table<std::uint16_t>();
            break;
        default:
            table_ = Table<std::uint32_t>();
            break;
    }
    if (elements < 2 * draw_count) {
        return;
    }
    std::visit(
        [&]<class Element>(Table<Element>& table) {
            table.resize(draw_count);
            for (std::uint32_t draw = 0; draw < draw_count; ++draw) {
                table[draw] = static_cast<Element>(generator.code_of_draw(draw));
            }
        },
        table_);
}

void OperandFiller::fill(std::uint64_t first, std::uint64_t count, void* destination) const {
    std::visit(
        [&]<class Element>(const Table<Element>& table) {
            auto* const elements = static_cast<Element*>(destination);
            if (table.empty()) {
                const auto code = [&](std::uint32_t draw) {
                    return static_cast<Element>(generator_.code_of_draw(draw));
                };
                fill_range(generator_, code, first, count, elements);
            } else {
                const auto code = [codes = table.data()](std::uint32_t draw) { return codes[draw]; };
                fill_range(generator_, code, first, count, elements);
            }
        },
        table_);
}

}  // namespace moegemm
