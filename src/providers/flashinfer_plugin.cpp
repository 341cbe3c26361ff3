/// \file
/// The plug-in library of provider `flashinfer`: the only place where that meets provider `cudnn`.
#include <moegemm/plugin.hpp>

#include "providers/cudnn/provider.hpp"
#include "providers/flashinfer/cuda_machine.hpp"
#include "providers/flashinfer/provider.hpp"

extern "C" MOEGEMM_EXPORT const moegemm_plugin* moegemm_plugin_entry(std::uint32_t host_abi_version) {
    static const moegemm::Plugin plugin = [] {
        auto modules =
            std::make_shared<moegemm::flashinfer::ModuleLibrary>(moegemm::flashinfer::module_folders(), false);
        std::shared_ptr<const moegemm::Provider> cudnn;
#if MOEGEMM_HAS_CUDNN
        cudnn = moegemm::make_cudnn_provider();
#endif
        return moegemm::Plugin("flashinfer",
                               {moegemm::make_flashinfer_provider(moegemm::flashinfer::make_cuda_machine(),
                                                                  std::move(modules), std::move(cudnn))});
    }();
    return plugin.entry(host_abi_version);
}
