// Modules with one fault each, which the provider has to find before FlashInfer's code runs.
#include <cstdint>

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#ifdef FAULT_OTHER_ARGUMENTS
// Of an older interface: two arguments fewer.
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cutlass_segment_gemm_sm90,
                              [](tvm::ffi::TensorView, tvm::ffi::TensorView, bool) { /* nothing: it is not reached */ })
#endif

#ifdef FAULT_UNDEFINED_SYMBOL
extern "C" void a_function_that_no_library_offers();
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cutlass_segment_gemm_sm90, [] { a_function_that_no_library_offers(); })
#endif

#ifdef FAULT_FAILED_LAUNCH
// As FlashInfer's: it returns as if all were well, and the CUDA runtime holds the error.
namespace {
int kept_error = 0;
}
extern "C" __attribute__((visibility("default"))) int cudaGetLastError() {
    const int error = kept_error;
    kept_error = 0;
    return error;
}
extern "C" __attribute__((visibility("default"))) const char* cudaGetErrorString(int /*error*/) {
    return "invalid configuration argument";
}
using View = tvm::ffi::TensorView;
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cutlass_segment_gemm_sm90, [](View, View, View, View, View, View, View, View, View, View,
                                                            View, bool) { kept_error = 9; })
#endif

#ifdef FAULT_BROKEN_CONTEXT
// An error that stays, as after a kernel's bad access.
extern "C" __attribute__((visibility("default"))) int cudaGetLastError() { return 700; }
extern "C" __attribute__((visibility("default"))) const char* cudaGetErrorString(int /*error*/) {
    return "an illegal memory access was encountered";
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cutlass_segment_gemm_sm90, [] { __builtin_trap(); })
#endif

#ifdef FAULT_ARCHITECTURE
// A container of device code, as nvcc's: one entry of machine code for FAULT_ARCHITECTURE, 16 bytes long.
namespace {
struct Container {
    std::uint32_t magic = 0xBA55ED50;
    std::uint16_t version = 1;
    std::uint16_t header_bytes = 16;
    std::uint64_t bytes = 64 + 16;
    std::uint16_t kind = 2;
    std::uint16_t flags = 0x0101;
    std::uint32_t entry_header_bytes = 64;
    std::uint64_t code_bytes = 16;
    std::uint32_t unread[2] = {};
    std::uint16_t minor = 0;
    std::uint16_t major = 1;
    std::uint32_t architecture = FAULT_ARCHITECTURE;
    std::uint8_t rest[64 - 32 + 16] = {};
};
__attribute__((section(".nv_fatbin"), used)) const Container container{};
}  // namespace
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cutlass_segment_gemm_sm90, [] { __builtin_trap(); })
#endif
