// A library with cuBLAS's C functions, as far as the provider looks for them; with one definition each it has a fault.
#ifndef FAKE_MINOR
#define FAKE_MINOR 1
#endif
#ifndef FAKE_MAJOR
#define FAKE_MAJOR 13
#endif

#ifndef FAKE_LT_MINOR  // cuBLASLt's
#define FAKE_LT_MINOR FAKE_MINOR
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int cublasGetProperty(int which, int* value) {
    const int version[] = {FAKE_MAJOR, FAKE_MINOR, 7};
    *value = version[which];
    return 0;
}
EXPORT int cublasLtGetProperty(int which, int* value) {
    const int version[] = {FAKE_MAJOR, FAKE_LT_MINOR, 7};
    *value = version[which];
    return 0;
}
EXPORT int cublasCreate_v2(void**) { return 1; }
EXPORT int cublasDestroy_v2(void*) { return 0; }
EXPORT int cublasSetStream_v2(void*, void*) { return 0; }
EXPORT int cublasSetWorkspace_v2(void*, void*, unsigned long) { return 0; }
#ifndef FAULT_NOT_GROUPED
EXPORT int cublasGemmGroupedBatchedEx() { return 15; }
#endif
