#include "providers/cuda/kernels_of.cuh"
#include "providers/cuda/recipes.cuh"

namespace moegemm::cuda {

template Kernels kernels_of<recipes::Fp8Block>();
template Kernels kernels_of<recipes::Fp8BlockEither>();

}  // namespace moegemm::cuda
