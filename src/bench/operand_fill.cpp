#include "bench/operand_fill.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "op/random/operand_codes.hpp"
#include "op/random/operand_fill.hpp"

namespace moegemm::bench {
namespace {

constexpr std::int64_t block = operand_block_elements;

void store(std::byte* target, std::uint32_t code, std::int64_t bytes) {
    // The code's bits are in the low end of the word; stored elements are little-endian, as all of the op's files are.
    for (std::int64_t i = 0; i < bytes; ++i) {
        target[i] = static_cast<std::byte>((code >> (8 * i)) & 0xFFU);
    }
}

/// A tensor whose storage is its logical order.
void fill_in_order(const OperandGenerator& generator, const Tensor& tensor, ThreadTeam& team) {
    const std::int64_t bytes = info(tensor.dtype()).bytes;
    auto* const data = tensor.as<std::byte>();
    const OperandFiller filler(generator, static_cast<std::uint64_t>(tensor.elements()));
    team.slices(tensor.elements(), block, [&](std::int64_t begin, std::int64_t end) {
        filler.fill(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end - begin), data + begin * bytes);
    });
}

/// Scales (rows, columns) that lie elsewhere than in their logical order.
/// \param place (row, column) to stored index
template <class Place>
void scatter(const OperandGenerator& generator, const Tensor& tensor, std::int64_t rows, std::int64_t columns,
             ThreadTeam& team, const Place& place) {
    const std::int64_t bytes = info(tensor.dtype()).bytes;
    auto* const data = tensor.as<std::byte>();
    team.slices(tensor.bytes(), 4096, [data](std::int64_t begin, std::int64_t end) {
        std::memset(data + begin, 0, static_cast<std::size_t>(end - begin));
    });
    team.slices(rows, 1, [&](std::int64_t begin, std::int64_t end) {
        std::int64_t drawn_block = -1;
        OperandCodes drawn{};
        for (std::int64_t index = begin * columns; index < end * columns; ++index) {
            if (index / block != drawn_block) {
                drawn_block = index / block;
                drawn = generator.codes(static_cast<std::uint64_t>(drawn_block));
            }
            store(data + place(index / columns, index % columns) * bytes, drawn.codes[index % block], bytes);
        }
    });
}

void fill_a_scales(const Problem& problem, const OperandGenerator& generator, const Tensor& tensor, ThreadTeam& team) {
    const GemmSpec& spec = problem.spec();
    const std::int64_t columns = spec.scale_columns();
    const auto m_indptr = problem.m_indptr();
    scatter(generator, tensor, problem.rows(), columns, team, [&](std::int64_t row, std::int64_t column) {
        const auto next = std::upper_bound(m_indptr.begin(), m_indptr.end(), row);
        const std::int64_t expert = next - m_indptr.begin() - 1;
        return scales::a_scale_index(spec.scale_layout, row, column, expert, *(next - 1), problem.rows(), columns);
    });
}

void fill_w_scales(const GemmSpec& spec, const OperandGenerator& generator, const Tensor& tensor, ThreadTeam& team) {
    const std::int64_t columns = spec.scale_columns();
    // A block of W is as wide along N as along K; a group is one row.
    const std::int64_t rows_a_scale = spec.row().scaling == Scaling::block ? spec.row().scale_group : 1;
    const std::int64_t rows = (spec.n + rows_a_scale - 1) / rows_a_scale;
    scatter(generator, tensor, spec.experts * rows, columns, team, [&](std::int64_t row, std::int64_t column) {
        return scales::w_scale_index(spec.scale_layout, row / rows, row % rows, column, rows, columns);
    });
}

}  // namespace

void fill_operands(const Problem& problem, std::uint64_t seed, const Operands& operands, ThreadTeam& team) {
    const GemmSpec& spec = problem.spec();
    for (const Role role : {Role::a, Role::w, Role::a_scale, Role::w_scale, Role::alpha}) {
        const Tensor& tensor = operands[role];
        if (!tensor.defined() || tensor.elements() == 0) {
            continue;
        }
        const OperandGenerator generator = make_operand_generator(spec, role, seed);
        const bool along_k = spec.scale_columns() != 0;
        if (role == Role::a_scale && along_k) {
            fill_a_scales(problem, generator, tensor, team);
        } else if (role == Role::w_scale && along_k) {
            fill_w_scales(spec, generator, tensor, team);
        } else {
            fill_in_order(generator, tensor, team);
        }
    }
    if (operands.m_indptr.defined()) {
        std::copy(problem.m_indptr().begin(), problem.m_indptr().end(), operands.m_indptr.as<std::int32_t>());
    }
}

}  // namespace moegemm::bench
