#include "providers/cuda/kernels_of.cuh"
#include "providers/cuda/recipes.cuh"

namespace moegemm::cuda {

template Kernels kernels_of<recipes::Nvfp4>();
template Kernels kernels_of<recipes::Nvfp4A16>();

}  // namespace moegemm::cuda
