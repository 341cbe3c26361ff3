/// \file
/// The plug-in library of provider `flashinfer`.
#include <moegemm/plugin.hpp>

#include "providers/flashinfer/cuda_machine.hpp"
#include "providers/flashinfer/provider.hpp"

extern "C" MOEGEMM_EXPORT const moegemm_plugin* moegemm_plugin_entry(std::uint32_t host_abi_version) {
    static const moegemm::Plugin plugin = [] {
        auto modules =
            std::make_shared<moegemm::flashinfer::ModuleLibrary>(moegemm::flashinfer::module_folders(), false);
        return moegemm::Plugin("flashinfer", {moegemm::make_flashinfer_provider(
                                                 moegemm::flashinfer::make_cuda_machine(), std::move(modules))});
    }();
    return plugin.entry(host_abi_version);
}
