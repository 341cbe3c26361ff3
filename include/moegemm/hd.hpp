/// \file
/// MOEGEMM_HD marks a function that is compiled for the host and for a CUDA device from one source.
#pragma once

#if defined(__CUDACC__)
#define MOEGEMM_HD __host__ __device__
#else
#define MOEGEMM_HD
#endif
