// A plug-in whose functions let exceptions escape: from the entry point (FAULT_ENTRY), or from "throwing"'s supports
// and plan, and from its run, which throws an int at every second call.
#include <stdexcept>

#include <moegemm/abi.h>

struct moegemm_plan {};

namespace {

moegemm_plan the_plan;

moegemm_status variant(void*, const char*, const char** accumulation, const char** scale_range) {
    *accumulation = "fp32";
    *scale_range = "full";
    return MOEGEMM_OK;
}
moegemm_status supports(void*, const moegemm_spec* spec) {
    return spec->experts == 13 ? throw std::runtime_error("supports threw") : MOEGEMM_OK;
}
moegemm_status plan(void*, const moegemm_spec* spec, const moegemm_plan_options*, moegemm_plan** plan) {
    if (spec->experts == 13) {
        throw std::runtime_error("plan threw");
    }
    *plan = &the_plan;
    return MOEGEMM_OK;
}
void destroy_plan(moegemm_plan*) { throw std::runtime_error("destroy_plan threw"); }
std::size_t no_bytes(const moegemm_plan*) { return 0; }
const char* kernels(const moegemm_plan*) { return nullptr; }
moegemm_status pack(moegemm_plan*, const moegemm_operands*, const DLTensor*, void*) { return MOEGEMM_OK; }
moegemm_status run(moegemm_plan*, const moegemm_operands* operands, void*) {
    static int calls = 0;
    if (++calls % 2 == 1) {
        throw 42;
    }
    *static_cast<float*>(operands->y->data) = 1.0F;
    return MOEGEMM_OK;
}
const moegemm_error* last_error() { return nullptr; }

const moegemm_provider throwing{MOEGEMM_ABI_VERSION,
                                sizeof(moegemm_provider),
                                nullptr,
                                "throwing",
                                "1",
                                "throws",
                                kDLCPU,
                                0,
                                nullptr,
                                variant,
                                supports,
                                plan,
                                destroy_plan,
                                no_bytes,
                                no_bytes,
                                kernels,
                                pack,
                                run,
                                last_error};
const moegemm_provider* const providers[] = {&throwing};
const moegemm_plugin plugin{MOEGEMM_ABI_VERSION, sizeof(moegemm_plugin), "throwing", 1, providers};

}  // namespace

extern "C" MOEGEMM_EXPORT const moegemm_plugin* moegemm_plugin_entry(std::uint32_t /*host_abi_version*/) {
#ifdef FAULT_ENTRY
    throw std::runtime_error("the entry threw");
#else
    return &plugin;
#endif
}
