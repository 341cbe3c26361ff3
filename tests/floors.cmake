# Checks the direction of the arrows: a folder includes only from the folders below it.
# cmake -D ROOT=<the repository> -P floors.cmake
cmake_minimum_required(VERSION 3.25)

set(standard "^<[a-z_0-9]+>$")
set(c_headers "^<(stddef|stdint)\\.h>$")

# What each folder may include, beside itself and the standard library. <moegemm/*> are the public headers of floors 0
# to 2; a pattern after "not" takes some of them away again.
set(floors include src/op src/provider src/cpu src/cuda src/providers src/bench src/cli)
set(may_include "^<(moegemm/.*|dlpack/dlpack\\.h)>$")
set(may_src/op "^\"op/" "^<(moegemm|dlpack)/")
set(not_src/op "^<moegemm/(abi\\.h|plugin\\.hpp|provider\\.hpp)>$")
set(may_src/provider ${may_src/op} "^\"provider/")
set(may_src/cuda ${may_src/op} "^\"cuda/")  # what device code of every floor above shares
set(may_src/cpu "^\"cpu/")  # likewise of code for some processors only
set(may_src/providers ${may_src/provider} "^\"(cpu|cuda)/")  # and its own folder, see below
set(may_src/bench ${may_src/provider} "^\"(cpu|cuda)/" "^\"bench/")
set(may_src/cli ${may_src/bench} "^\"cli/")

set(faults "")
set(seen 0)
foreach(floor IN LISTS floors)
  file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/${floor}/*.h" "${ROOT}/${floor}/*.hpp" "${ROOT}/${floor}/*.c"
    "${ROOT}/${floor}/*.cpp" "${ROOT}/${floor}/*.cu" "${ROOT}/${floor}/*.cuh" "${ROOT}/${floor}/*.inc")
  foreach(file IN LISTS files)
    math(EXPR seen "${seen} + 1")
    set(may ${may_${floor}})
    set(not ${not_${floor}})
    if(file MATCHES "^src/providers/([^/]+)/")
      list(APPEND may "^\"providers/${CMAKE_MATCH_1}/")
    elseif(file MATCHES "^src/providers/[^/]+$")
      list(APPEND may "^\"providers/")  # the list of built-in providers
    elseif(file MATCHES "^include/moegemm/formats/")
      set(may "^<moegemm/(hd\\.hpp|formats/.*)>$")
    endif()

    file(STRINGS "${ROOT}/${file}" lines REGEX "^[ \t]*#[ \t]*include")
    foreach(line IN LISTS lines)
      if(NOT line MATCHES "include[ \t]*(<[^>]*>|\"[^\"]*\")")
        list(APPEND faults "${file}: cannot be checked: ${line}")
        continue()
      endif()
      set(header "${CMAKE_MATCH_1}")
      set(allowed FALSE)
      foreach(pattern IN LISTS may)
        if(header MATCHES "${pattern}")
          set(allowed TRUE)
        endif()
      endforeach()
      foreach(pattern IN LISTS not)
        if(header MATCHES "${pattern}")
          set(allowed FALSE)
        endif()
      endforeach()
      if(header MATCHES "${standard}" OR header MATCHES "${c_headers}")
        set(allowed TRUE)
      elseif(NOT floor STREQUAL "include" AND header MATCHES "^<" AND NOT header MATCHES "^<moegemm/")
        set(allowed TRUE)  # the system's and the dependencies' headers
      endif()
      if(NOT allowed)
        list(APPEND faults "${file} includes ${header}: not below its floor")
      elseif(header MATCHES "^\"(.*)\"$")
        if(NOT EXISTS "${ROOT}/src/${CMAKE_MATCH_1}")
          list(APPEND faults "${file} includes ${header}: no such file below src/")
        endif()
      endif()
    endforeach()
  endforeach()
endforeach()

if(seen EQUAL 0)
  message(FATAL_ERROR "no sources below ${ROOT}")
endif()
if(faults)
  list(JOIN faults "\n  " text)
  message(FATAL_ERROR "includes against the direction of the floors:\n  ${text}")
endif()
message(STATUS "${seen} files include only from the floors below them")
