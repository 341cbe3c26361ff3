# Seeded draws and routings.
moegemm_test(random_test
  SOURCES random/philox_test.cpp random/normal_test.cpp random/logarithm_test.cpp random/operand_codes_test.cpp
  LABELS quick)
moegemm_test(routing_test SOURCES routing_test.cpp LABELS quick)
