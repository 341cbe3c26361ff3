/// \file
/// A loop that is written out at compile time: GCC keeps an array in registers only where every index is a constant
/// from the start. Internal linkage: two files compiled for different machines must never share a function.
#pragma once

#include <cstddef>
#include <utility>

namespace moegemm::bench::isa {
namespace {

template <class Work, std::size_t... indices>
[[gnu::always_inline]] inline void unroll(const Work& work, std::index_sequence<indices...> /*all*/) {
    (work(std::integral_constant<std::size_t, indices>{}), ...);
}

/// Calls `work(i)` for i = 0 … count − 1, each a constant.
template <std::size_t count, class Work>
[[gnu::always_inline]] inline void unrolled(const Work& work) {
    unroll(work, std::make_index_sequence<count>{});
}

}  // namespace
}  // namespace moegemm::bench::isa
