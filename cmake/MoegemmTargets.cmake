# What every target of the project is compiled with.

function(moegemm_compile_options target)
  set(warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
    $<$<BOOL:${MOEGEMM_WARNINGS_AS_ERRORS}>:-Werror>)
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:C,CXX>:${warnings}>"
    # nvcc rewrites a source before the host's compiler sees it: -Wpedantic and conversions would speak of that text.
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-ffp-contract=off;--expt-relaxed-constexpr>"
    "$<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${MOEGEMM_WARNINGS_AS_ERRORS}>>:SHELL:-Werror all-warnings>"
    # GCC 12 sees overlapping copies in "text" + std::string (GCC bug 105651).
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
    # One product and one sum stay two roundings: generated operands and routings are the same bits from every compiler.
    # Kernels that want fused operations ask for them file by file.
    $<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off>)
  if(MOEGEMM_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${MOEGEMM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    if(MOEGEMM_SANITIZE MATCHES "undefined")
      # They double the time to compile; the address sanitizer stops at what they would find.
      target_compile_options(${target} PUBLIC -fno-sanitize=null,vptr,object-size)
    endif()
    target_link_options(${target} PUBLIC -fsanitize=${MOEGEMM_SANITIZE})
  endif()
endfunction()

# moegemm_test(name [LABELS ...] [LIBRARIES ...] SOURCES ...): one GoogleTest program, each of its tests a CTest test.
function(moegemm_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  moegemm_compile_options(${name})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
  target_link_libraries(${name} PRIVATE moegemm::moegemm ${ARG_LIBRARIES} GTest::gtest GTest::gtest_main fmt::fmt
    nlohmann_json::nlohmann_json moegemm::hwloc)
  target_compile_definitions(${name} PRIVATE MOEGEMM_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data")
  include(GoogleTest)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 120 PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 900)
endfunction()
