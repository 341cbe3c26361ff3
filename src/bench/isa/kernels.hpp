/// \file
/// The benchmark's own kernels: pure reads, and multiply-adds that never leave the registers. Each instruction set has
/// a file of its own with its own compiler flags; cpu_kernels.cpp picks what this machine can run.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moegemm::bench::isa {

/// Reads every byte of [data, data + bytes) once, as `streams` runs side by side.
/// \param data aligned to 64 bytes
/// \return something that depends on every byte
using ReadKernel = std::uint64_t (*)(const std::byte* data, std::size_t bytes, std::size_t streams);

std::uint64_t read_generic(const std::byte* data, std::size_t bytes, std::size_t streams);
std::uint64_t read_avx2(const std::byte* data, std::size_t bytes, std::size_t streams);
std::uint64_t read_avx512(const std::byte* data, std::size_t bytes, std::size_t streams);

/// Runs `rounds` rounds of a fixed number of operations. \return something that depends on all of them
using PeakKernel = double (*)(std::int64_t rounds);

/// A peak kernel and what one of its rounds does.
struct Peak {
    PeakKernel run;
    std::int64_t operations;  ///< multiplications and additions a round
};

Peak f32_generic();
Peak f32_avx2();
Peak f32_avx512();
Peak int8_avx_vnni();
Peak int8_avx512_vnni();
Peak bf16_avx512();
Peak bf16_amx();
Peak int8_amx();

}  // namespace moegemm::bench::isa
