#include "bench/isa/kernels.hpp"
#include "bench/isa/read_streams.hpp"

namespace moegemm::bench::isa {
namespace {

using Vector = std::uint64_t __attribute__((vector_size(64)));

}  // namespace

std::uint64_t read_avx512(const std::byte* data, std::size_t bytes, std::size_t streams) {
    return read_streams<Vector>(data, bytes, streams);
}

}  // namespace moegemm::bench::isa
