# Apache TVM-FFI, by which FlashInfer's compiled modules are loaded and called: the target moegemm::tvm_ffi, or why there
# is none in MOEGEMM_TVM_FFI_REASON, which the program repeats. `./dev` puts PyPI's package into build/tvm-ffi.
set(MOEGEMM_TVM_FFI_DIR "" CACHE PATH "The package tvm_ffi, with include/ and lib/; empty: build/tvm-ffi/tvm_ffi of this checkout")

set(MOEGEMM_TVM_FFI_REASON "")
set(tvm_ffi "${MOEGEMM_TVM_FFI_DIR}")
if(NOT tvm_ffi)
  set(tvm_ffi "${PROJECT_SOURCE_DIR}/build/tvm-ffi/tvm_ffi")
endif()
if(MOEGEMM_SANITIZE MATCHES "thread")
  set(MOEGEMM_TVM_FFI_REASON "Apache TVM-FFI's headers use fences, which the thread sanitizer does not know")
elseif(NOT EXISTS "${tvm_ffi}/include/tvm/ffi/c_api.h" OR NOT EXISTS "${tvm_ffi}/lib/libtvm_ffi.so")
  set(MOEGEMM_TVM_FFI_REASON "Apache TVM-FFI was not found when this was built")
else()
  file(STRINGS "${tvm_ffi}/include/tvm/ffi/c_api.h" lines REGEX "define TVM_FFI_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX MATCHALL "[0-9]+" tvm_ffi_version "${lines}")
  string(REPLACE ";" "." tvm_ffi_version "${tvm_ffi_version}")
  if(tvm_ffi_version VERSION_LESS 0.1.6 OR tvm_ffi_version VERSION_GREATER_EQUAL 0.2 OR tvm_ffi_version VERSION_EQUAL 0.1.8)
    set(MOEGEMM_TVM_FFI_REASON "Apache TVM-FFI ${tvm_ffi_version} was found when this was built: 0.1.6 or later is needed, below 0.2, and not 0.1.8")
  else()
    add_library(moegemm::tvm_ffi SHARED IMPORTED)
    set_target_properties(moegemm::tvm_ffi PROPERTIES
      IMPORTED_LOCATION "${tvm_ffi}/lib/libtvm_ffi.so" IMPORTED_SONAME libtvm_ffi.so
      # Its DLPack before the system's, which may be older than what its headers need.
      INTERFACE_INCLUDE_DIRECTORIES "${tvm_ffi}/3rdparty/dlpack/include;${tvm_ffi}/include")
  endif()
endif()

# The provider needs both.
set(MOEGEMM_FLASHINFER_REASON "${MOEGEMM_CUDA_REASON}")
if(MOEGEMM_HAS_CUDA)
  set(MOEGEMM_FLASHINFER_REASON "${MOEGEMM_TVM_FFI_REASON}")
endif()
set(MOEGEMM_HAS_FLASHINFER FALSE)
if(MOEGEMM_FLASHINFER_REASON)
  message(STATUS "Provider flashinfer: not built: ${MOEGEMM_FLASHINFER_REASON}")
else()
  set(MOEGEMM_HAS_FLASHINFER TRUE)
  message(STATUS "Provider flashinfer: Apache TVM-FFI ${tvm_ffi_version}")
endif()
