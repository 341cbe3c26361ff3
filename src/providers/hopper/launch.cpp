#include "providers/hopper/launch.hpp"

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>
#include <random>

#include "cuda/error.hpp"
#include "providers/hopper/choice.hpp"

namespace moegemm::hopper {
namespace {

/// A number that no other launch has, and no memory by chance: counted from one drawn at random.
std::uint64_t new_ticket() {
    static std::atomic<std::uint64_t> next = [] {
        std::random_device random;
        return std::uint64_t{random()} << 32 | random();
    }();
    const std::uint64_t ticket = next++;
    return ticket != 0 ? ticket : next++;  // 0 is nobody's
}

Dst dst_of(DType dtype) { return dtype == DType::bf16 ? Dst::bf16 : dtype == DType::f16 ? Dst::f16 : Dst::f32; }

}  // namespace

Call output_call(const GemmSpec& spec, const Operands& operands) {
    Call call{};
    call.m_indptr = operands.m_indptr.as<const std::int32_t>();
    call.experts = static_cast<int>(spec.experts);
    call.rows = static_cast<int>(operands.a.shape()[0]);
    call.columns = static_cast<int>(spec.n);
    call.y = operands.y.data();
    call.dst = dst_of(spec.dst);
    const std::int64_t element = info(spec.dst).bytes;
    call.paired = spec.n % 2 == 0 && is_aligned(call.y, 2 * element);
    call.y_map = element == 2 && spec.n * element % tma_bytes == 0 && is_aligned(call.y, tma_bytes);
    call.alpha = operands.alpha.as<const float>();
    return call;
}

void set_counter(Call& call, void* at) {
    call.counter = static_cast<ItemCounter*>(at);
    call.ticket = new_ticket();
}

void allow_shared_memory(const Kernel& kernel, DLDevice device) {
    const cuda::UseDevice use(device.device_id);
    cuda::check(cudaFuncSetAttribute(kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize, kernel.shared_bytes),
                "cudaFuncSetAttribute of shared memory");
}

void launch(const Kernel& kernel, int processors, void** arguments, void* stream, bool overlapping) {
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(processors * kernel.ctas));
    config.blockDim = dim3(static_cast<unsigned>(kernel.threads));
    config.dynamicSmemBytes = static_cast<std::size_t>(kernel.shared_bytes);
    config.stream = static_cast<cudaStream_t>(stream);
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = overlapping ? 1 : 0;
    cuda::check(cudaLaunchKernelExC(&config, kernel.function, arguments), kernel.name.data());
}

}  // namespace moegemm::hopper
