// Operands drawn on the device, each element from (seed, tensor, index) alone: op/random/operand_codes.hpp.
#include "bench/cuda/operand_fill.hpp"

#include <algorithm>

#include "cuda/error.hpp"

namespace moegemm::bench::cuda {
namespace {

using moegemm::cuda::check;

constexpr int threads = 256;
constexpr std::int64_t most_ctas = 132 * 32;

/// One draw gives eight neighbours, which leave in stores of up to 16 bytes.
template <class Element>
struct alignas(sizeof(Element) * operand_block_elements < 16 ? 8 : 16) Neighbours {
    Element codes[operand_block_elements];
};

template <class Element>
__global__ void __launch_bounds__(threads)
    draw_in_order(OperandGenerator generator, Element* target, std::int64_t elements) {
    constexpr std::int64_t block_elements = operand_block_elements;
    const std::int64_t blocks = (elements + block_elements - 1) / block_elements;
    for (std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x; block < blocks;
         block += static_cast<std::int64_t>(gridDim.x) * threads) {
        const PhiloxBlock random = generator.draws(static_cast<std::uint64_t>(block));
        Neighbours<Element> drawn;
#pragma unroll
        for (unsigned lane = 0; lane < operand_block_elements; ++lane) {
            drawn.codes[lane] = static_cast<Element>(generator.code_of_draw(random.half(lane)));
        }
        Element* const destination = target + block * block_elements;
        if ((block + 1) * block_elements <= elements) {
            *reinterpret_cast<Neighbours<Element>*>(destination) = drawn;
        } else {
#pragma unroll
            for (int lane = 0; lane < block_elements; ++lane) {
                if (block * block_elements + lane < elements) {
                    destination[lane] = drawn.codes[lane];
                }
            }
        }
    }
}

/// Where a scale of A lies.
struct APlace {
    ScaleLayout layout;
    const std::int32_t* m_indptr;
    std::int64_t experts;
    std::int64_t total_rows;
    std::int64_t columns;

    __device__ std::int64_t operator()(std::int64_t row, std::int64_t column) const {
        std::int64_t low = 0;  // the last expert that starts at `row` or before
        std::int64_t high = experts;
        while (high - low > 1) {
            const std::int64_t middle = (low + high) / 2;
            (m_indptr[middle] <= row ? low : high) = middle;
        }
        return scales::a_scale_index(layout, row, column, low, m_indptr[low], total_rows, columns);
    }
};

/// Where a scale of W lies, its rows counted over all experts.
struct WPlace {
    ScaleLayout layout;
    std::int64_t rows;  ///< of one expert
    std::int64_t columns;

    __device__ std::int64_t operator()(std::int64_t row, std::int64_t column) const {
        return scales::w_scale_index(layout, row / rows, row % rows, column, rows, columns);
    }
};

/// Scales that lie elsewhere than in their logical order.
template <class Element, class Place>
__global__ void __launch_bounds__(threads)
    draw_and_place(OperandGenerator generator, Place place, Element* target, std::int64_t elements) {
    for (std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x; index < elements;
         index += static_cast<std::int64_t>(gridDim.x) * threads) {
        const auto block = static_cast<std::uint64_t>(index) / operand_block_elements;
        const PhiloxBlock random = generator.draws(block);
        std::uint32_t draw = 0;
#pragma unroll
        for (unsigned lane = 0; lane < operand_block_elements; ++lane) {  // registers have no index
            draw =
                block * operand_block_elements + lane == static_cast<std::uint64_t>(index) ? random.half(lane) : draw;
        }
        target[place(index / place.columns, index % place.columns)] =
            static_cast<Element>(generator.code_of_draw(draw));
    }
}

unsigned ctas_for(std::int64_t items) {
    return static_cast<unsigned>(std::min(most_ctas, (items + threads - 1) / threads));
}

template <class Place>
void scatter(const OperandGenerator& generator, const Place& place, const Tensor& tensor, std::int64_t elements,
             cudaStream_t stream) {
    check(cudaMemsetAsync(tensor.data(), 0, static_cast<std::size_t>(tensor.bytes()), stream), "clearing scales");
    if (elements == 0) {
        return;
    }
    if (info(tensor.dtype()).bytes == 1) {
        draw_and_place<<<ctas_for(elements), threads, 0, stream>>>(generator, place, tensor.as<std::uint8_t>(),
                                                                   elements);
    } else {
        draw_and_place<<<ctas_for(elements), threads, 0, stream>>>(generator, place, tensor.as<std::uint32_t>(),
                                                                   elements);
    }
    check(cudaGetLastError(), "drawing scales");
}

}  // namespace

void fill_in_order(const OperandGenerator& generator, void* target, std::int64_t elements, cudaStream_t stream) {
    if (elements == 0) {
        return;
    }
    const unsigned ctas = ctas_for((elements + operand_block_elements - 1) / operand_block_elements);
    switch (info(generator.dtype).bytes) {
        case 1:
            draw_in_order<<<ctas, threads, 0, stream>>>(generator, static_cast<std::uint8_t*>(target), elements);
            break;
        case 2:
            draw_in_order<<<ctas, threads, 0, stream>>>(generator, static_cast<std::uint16_t*>(target), elements);
            break;
        default:
            draw_in_order<<<ctas, threads, 0, stream>>>(generator, static_cast<std::uint32_t*>(target), elements);
            break;
    }
    check(cudaGetLastError(), "drawing operands");
}

void fill_operands(const Problem& problem, std::uint64_t seed, const Operands& operands, cudaStream_t stream) {
    const GemmSpec& spec = problem.spec();
    const std::int64_t columns = spec.scale_columns();
    if (operands.m_indptr.defined()) {
        check(cudaMemcpyAsync(operands.m_indptr.data(), problem.m_indptr().data(), problem.m_indptr().size_bytes(),
                              cudaMemcpyHostToDevice, stream),
              "copying m_indptr");
    }
    for (const Role role : {Role::a, Role::w, Role::a_scale, Role::w_scale, Role::alpha}) {
        const Tensor& tensor = operands[role];
        if (!tensor.defined() || tensor.elements() == 0) {
            continue;
        }
        const OperandGenerator generator = make_operand_generator(spec, role, seed);
        if (role == Role::a_scale && columns != 0) {
            const APlace place{spec.scale_layout, operands.m_indptr.as<const std::int32_t>(), spec.experts,
                               problem.rows(), columns};
            scatter(generator, place, tensor, problem.rows() * columns, stream);
        } else if (role == Role::w_scale && columns != 0) {
            // A block of W is as wide along N as along K; a group is one row.
            const std::int64_t height = spec.row().scaling == Scaling::block ? spec.row().scale_group : 1;
            const WPlace place{spec.scale_layout, (spec.n + height - 1) / height, columns};
            scatter(generator, place, tensor, spec.experts * place.rows * columns, stream);
        } else {
            fill_in_order(generator, tensor.data(), tensor.elements(), stream);
        }
    }
}

}  // namespace moegemm::bench::cuda
