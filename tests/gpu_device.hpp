// The first GPU as a device of the benchmark, or why there is none.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include <moegemm/error.hpp>

#include "bench/device.hpp"

namespace moegemm::test {

struct GpuDevice {
    std::unique_ptr<bench::Device> device;  ///< null where there is none
    std::string reason;
};

/// Made once. MOEGEMM_TEST_GPU_PLUGINS is the build's plug-in folder; MOEGEMM_PLUGIN_PATH goes before it.
inline GpuDevice& gpu_device() {
    static auto* const gpu = [] {
        auto made = std::make_unique<GpuDevice>();
        (void)setenv("MOEGEMM_PLUGIN_PATH", MOEGEMM_TEST_GPU_PLUGINS, 0);
        try {
            made->device = bench::make_device("cuda:0", 0);
        } catch (const Error& error) {
            made->reason = error.what();
        }
        return made.release();  // freed by the process's end: CUDA may be gone before
    }();
    return *gpu;
}

}  // namespace moegemm::test
