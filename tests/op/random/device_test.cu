// The formats and the seeded draws on a GPU: every code, every draw and many floats give the same bits as on the host.
// Compiled for Hopper where there is an nvcc; exits 77 (skipped) where there is no such GPU.
#include <cstdint>
#include <cstdio>
#include <type_traits>
#include <vector>

#include <moegemm/formats/formats.hpp>

#include "op/random/operand_codes.hpp"

namespace {

using namespace moegemm;

/// The bits of a value whose NaNs are all alike: a device may give another payload.
MOEGEMM_HD std::uint32_t comparable(float value) {
    const std::uint32_t bits = formats::float_bits(value);
    return formats::is_nan_bits(bits) ? 0x7FC00000U : bits;
}

template <class Format>
struct Decode {
    MOEGEMM_HD std::uint32_t operator()(std::uint32_t i) const {
        return comparable(Format::decode(static_cast<typename Format::Code>(i)));
    }
};

/// Every exponent and sign with 2048 mantissas, spread by an odd multiplier.
template <class Format>
struct Encode {
    MOEGEMM_HD std::uint32_t operator()(std::uint32_t i) const {
        return Format::encode(formats::bits_float((i << 12) ^ (i * 2654435761U >> 20)));
    }
};

struct Code {
    OperandGenerator generator;
    MOEGEMM_HD std::uint32_t operator()(std::uint32_t i) const { return generator.code_of_draw(i); }
};

struct Element {
    OperandGenerator generator;
    MOEGEMM_HD std::uint32_t operator()(std::uint32_t i) const { return generator.code((std::uint64_t{i} << 18) + i); }
};

template <class Function>
__global__ void evaluate(Function function, std::uint32_t count, std::uint32_t* results) {
    const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        results[i] = function(i);
    }
}

template <class Function>
bool same_on_both(const char* name, Function function, std::uint32_t count) {
    std::uint32_t* device = nullptr;
    std::vector<std::uint32_t> results(count);
    bool ok = cudaMalloc(&device, count * sizeof(std::uint32_t)) == cudaSuccess;
    if (ok) {
        evaluate<<<(count + 255) / 256, 256>>>(function, count, device);
        ok = cudaMemcpy(results.data(), device, count * sizeof(std::uint32_t), cudaMemcpyDeviceToHost) == cudaSuccess;
    }
    cudaFree(device);
    if (!ok) {
        std::printf("%s: %s\n", name, cudaGetErrorString(cudaGetLastError()));
        return false;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        if (results[i] != function(i)) {
            std::printf("%s(%u) = %08x on the device, %08x on the host\n", name, i, results[i], function(i));
            return false;
        }
    }
    std::printf("%s: %u equal\n", name, count);
    return true;
}

template <class Format>
bool check_format(const char* name) {
    constexpr std::uint32_t codes = sizeof(typename Format::Code) == 1 ? 256 : 65536;
    return same_on_both(name, Decode<Format>{}, codes) && same_on_both(name, Encode<Format>{}, 1U << 20);
}

}  // namespace

int main() {
    cudaDeviceProp device{};
    if (cudaGetDeviceProperties(&device, 0) != cudaSuccess || device.major != 9) {
        std::printf("skipped: no GPU of compute capability 9.0\n");
        return 77;
    }
    bool ok = check_format<formats::Bf16>("bf16");
    ok = check_format<formats::F16>("f16") && ok;
    ok = check_format<formats::E4m3>("e4m3") && ok;
    ok = check_format<formats::E5m2>("e5m2") && ok;
    ok = check_format<formats::E2m1>("e2m1") && ok;
    ok = check_format<formats::Ue8m0>("ue8m0") && ok;
    ok = check_format<formats::Ue4m3>("ue4m3") && ok;
    for (const DType dtype :
         {DType::bf16, DType::i8, DType::e4m3, DType::e5m2, DType::e2m1x2, DType::f32, DType::ue8m0, DType::ue4m3}) {
        const OperandGenerator generator{0x0123456789ABCDEF, 1, dtype, -7};
        ok = same_on_both(info(dtype).name.data(), Code{generator}, 65536) && ok;
        ok = same_on_both(info(dtype).name.data(), Element{generator}, 1U << 18) && ok;
    }
    return ok ? 0 : 1;
}
