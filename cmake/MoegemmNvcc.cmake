# Which nvcc the code for GPUs is built with. MoegemmCuda.cmake includes this; run as a script it prints the path on
# standard output, or nothing, with the reason on standard error: cmake -P cmake/MoegemmNvcc.cmake
# `moegemm doctor` looks in the same places (src/cli/nvcc.cpp).
set(MOEGEMM_CUDA_LEAST 12.8)

# moegemm_find_nvcc(NVCC REASON [NAMED FILE] [FOLDERS FOLDER…]): FILE if that is given and not empty, else the first nvcc
# in FOLDERS that runs and is new enough. NVCC is empty where there is none, and REASON says why the first one will not do.
function(moegemm_find_nvcc nvcc reason)
  cmake_parse_arguments(PARSE_ARGV 2 ARG "" "NAMED" "FOLDERS")
  set(${nvcc} "" PARENT_SCOPE)
  set(${reason} "" PARENT_SCOPE)
  set(candidates "${ARG_NAMED}")
  if(NOT ARG_NAMED)
    list(TRANSFORM ARG_FOLDERS APPEND /nvcc OUTPUT_VARIABLE candidates)
  endif()
  set(reasons "")
  foreach(candidate IN LISTS candidates)
    if(NOT ARG_NAMED AND NOT EXISTS "${candidate}")
      continue()
    endif()
    execute_process(COMMAND "${candidate}" --version RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_QUIET)
    if(NOT status EQUAL 0 OR NOT text MATCHES "release ([0-9]+\\.[0-9]+)")
      list(APPEND reasons "${candidate} is no nvcc that runs")
    elseif(CMAKE_MATCH_1 VERSION_LESS MOEGEMM_CUDA_LEAST)
      list(APPEND reasons "${candidate} is ${CMAKE_MATCH_1}, and ${MOEGEMM_CUDA_LEAST} is the least")
    else()
      set(${nvcc} "${candidate}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  list(APPEND reasons "no nvcc was found")
  list(GET reasons 0 first)
  set(${reason} "${first}" PARENT_SCOPE)
endfunction()

# Where nvcc is looked for: the one that `./dev cuda` fetched, since it does so where no other will do; the PATH; where
# NVIDIA's packages put it without changing the PATH.
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH MOEGEMM_NVCC_FOLDERS)
string(APPEND MOEGEMM_NVCC_FOLDERS "/build/cuda-toolkit/bin:$ENV{PATH}:/usr/local/cuda/bin")
string(REPLACE ":" ";" MOEGEMM_NVCC_FOLDERS "${MOEGEMM_NVCC_FOLDERS}")

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  moegemm_find_nvcc(nvcc reason NAMED "$ENV{CUDACXX}" FOLDERS ${MOEGEMM_NVCC_FOLDERS})
  if(nvcc)
    execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "${nvcc}")
  else()
    message("${reason}")
  endif()
endif()
