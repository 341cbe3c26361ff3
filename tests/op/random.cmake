# Seeded draws and routings.
moegemm_test(random_test
  SOURCES random/philox_test.cpp random/normal_test.cpp random/logarithm_test.cpp random/operand_codes_test.cpp
  LABELS quick)
moegemm_test(routing_test SOURCES routing_test.cpp LABELS quick)

# The committed tables are what their script writes.
find_package(Python3 COMPONENTS Interpreter QUIET)
if(Python3_Interpreter_FOUND)
  add_test(NAME random_tables
    COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/generate_random_tables.py" --check)
  set_tests_properties(random_tables PROPERTIES LABELS quick)
endif()

# The same headers in device code, where there is a compiler for it; run where there is a GPU, too.
if(MOEGEMM_HAS_CUDA)
  set(device_test "${CMAKE_CURRENT_BINARY_DIR}/random_device_test")
  add_test(NAME random_device_compile
    COMMAND "${CMAKE_CUDA_COMPILER}" -std=c++20 -arch=sm_90a -Werror all-warnings
      "-I${PROJECT_SOURCE_DIR}/include" "-I${PROJECT_SOURCE_DIR}/src" "-I${MOEGEMM_DLPACK_INCLUDE_DIR}"
      "${CMAKE_CURRENT_SOURCE_DIR}/random/device_test.cu" -o "${device_test}")
  set_tests_properties(random_device_compile PROPERTIES LABELS cuda_host FIXTURES_SETUP random_device)
  add_test(NAME random_device COMMAND "${device_test}")
  set_tests_properties(random_device PROPERTIES LABELS cuda FIXTURES_REQUIRED random_device SKIP_RETURN_CODE 77)
endif()
