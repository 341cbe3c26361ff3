#include "bench/isa/kernels.hpp"
#include "bench/isa/multiply_add.hpp"

namespace moegemm::bench::isa {
namespace {

using Vector = float __attribute__((vector_size(32)));

}  // namespace

Peak f32_avx2() { return {f32_multiply_add<Vector>, f32_operations<Vector>}; }

}  // namespace moegemm::bench::isa
