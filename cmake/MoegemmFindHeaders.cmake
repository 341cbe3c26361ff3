# DLPack and hwloc come without CMake packages of their own: imported targets moegemm::dlpack, moegemm::hwloc.
# Used by the build and by the installed package.

find_path(MOEGEMM_DLPACK_INCLUDE_DIR dlpack/dlpack.h)
if(MOEGEMM_DLPACK_INCLUDE_DIR AND NOT TARGET moegemm::dlpack)
  add_library(moegemm::dlpack INTERFACE IMPORTED)
  set_target_properties(moegemm::dlpack PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${MOEGEMM_DLPACK_INCLUDE_DIR}")
endif()

find_path(MOEGEMM_HWLOC_INCLUDE_DIR hwloc.h)
find_library(MOEGEMM_HWLOC_LIBRARY hwloc)
if(MOEGEMM_HWLOC_INCLUDE_DIR AND MOEGEMM_HWLOC_LIBRARY AND NOT TARGET moegemm::hwloc)
  add_library(moegemm::hwloc UNKNOWN IMPORTED)
  set_target_properties(moegemm::hwloc PROPERTIES
    IMPORTED_LOCATION "${MOEGEMM_HWLOC_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${MOEGEMM_HWLOC_INCLUDE_DIR}")
endif()

mark_as_advanced(MOEGEMM_DLPACK_INCLUDE_DIR MOEGEMM_HWLOC_INCLUDE_DIR MOEGEMM_HWLOC_LIBRARY)
