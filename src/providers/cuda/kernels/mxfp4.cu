#include "providers/cuda/kernels_of.cuh"
#include "providers/cuda/recipes.cuh"

namespace moegemm::cuda {

template Kernels kernels_of<recipes::Mxfp4>();
template Kernels kernels_of<recipes::Mxfp4Either>();

}  // namespace moegemm::cuda
