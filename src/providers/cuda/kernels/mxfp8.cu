#include "providers/cuda/kernels_of.cuh"
#include "providers/cuda/recipes.cuh"

namespace moegemm::cuda {

template Kernels kernels_of<recipes::Mxfp8>();
template Kernels kernels_of<recipes::Mxfp8Either>();

}  // namespace moegemm::cuda
