/// \file
/// Fills host memory with an operand's data, as fast as gigabytes on two cores need it.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "op/random/operand_codes.hpp"

namespace moegemm {

/// Writes an operand's elements in their logical order. May be shared by threads that fill different parts.
class OperandFiller {
public:
    /// \param elements about how many will be written in all: many are worth a table of all 65536 codes
    OperandFiller(const OperandGenerator& generator, std::uint64_t elements);

    /// Writes elements first … first + count − 1, each in the bytes of its type, to memory aligned for it.
    void fill(std::uint64_t first, std::uint64_t count, void* destination) const;

private:
    /// The code of every draw, in the type of a stored element; empty where a table is not worth its making.
    template <class Element>
    using Table = std::vector<Element>;

    OperandGenerator generator_;
    std::variant<Table<std::uint8_t>, Table<std::uint16_t>, Table<std::uint32_t>> table_;
};

}  // namespace moegemm
