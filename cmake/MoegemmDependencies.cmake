# Everything that the build needs from outside. A missing part is named with the Debian package that holds it.

function(moegemm_missing what package)
  message(FATAL_ERROR "moegemm needs ${what}. Install it with: apt-get install ${package}")
endfunction()

find_package(Threads REQUIRED)

find_package(fmt QUIET)
if(NOT fmt_FOUND)
  moegemm_missing("{fmt}" libfmt-dev)
endif()

find_package(nlohmann_json 3.10 QUIET)
if(NOT nlohmann_json_FOUND)
  moegemm_missing("JSON for Modern C++" nlohmann-json3-dev)
endif()

if(MOEGEMM_BUILD_CLI)
  find_package(CLI11 QUIET)
  if(NOT CLI11_FOUND)
    moegemm_missing("CLI11" libcli11-dev)
  endif()
endif()

if(MOEGEMM_BUILD_TESTS)
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    moegemm_missing("GoogleTest" libgtest-dev)
  endif()
endif()

include(MoegemmFindHeaders)
if(NOT TARGET moegemm::dlpack)
  moegemm_missing("DLPack's header" libdlpack-dev)
endif()
if(NOT TARGET moegemm::hwloc)
  moegemm_missing("hwloc" libhwloc-dev)
endif()
