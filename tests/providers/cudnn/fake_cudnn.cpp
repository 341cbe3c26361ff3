// A library with those of cuDNN's C functions that tell which version it is; with one definition each it has a fault.
#include <cstddef>

#ifndef FAKE_VERSION
#define FAKE_VERSION 91900
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

#ifndef FAULT_NO_VERSION
EXPORT std::size_t cudnnGetVersion() { return FAKE_VERSION; }
#endif
#ifndef FAULT_NO_BACKEND
EXPORT int cudnnBackendExecute() { return 1; }
#endif
