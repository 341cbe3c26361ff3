/// \file
/// The plug-in library of the GPU providers: the only place that names them.
#include <moegemm/plugin.hpp>

#include "providers/cublas/provider.hpp"
#include "providers/cuda/provider.hpp"
#include "providers/cudnn/provider.hpp"
#include "providers/hopper/provider.hpp"

extern "C" MOEGEMM_EXPORT const moegemm_plugin* moegemm_plugin_entry(std::uint32_t host_abi_version) {
    static const moegemm::Plugin plugin = [] {
        moegemm::Registry registry;
        registry.add(moegemm::make_cuda_provider(), "this library");
        registry.add(moegemm::make_hopper_provider(registry.find("cuda")), "this library");
        registry.add(moegemm::make_cublas_provider(), "this library");
#if MOEGEMM_HAS_CUDNN
        registry.add(moegemm::make_cudnn_provider(), "this library");
#endif
        return moegemm::Plugin("cuda", registry.providers());
    }();
    return plugin.entry(host_abi_version);
}
