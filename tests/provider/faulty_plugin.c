/* A plug-in library written in C against abi.h alone, with one fault, chosen by a definition; none gives a good one.
 * Its provider, "tiny", offers bf16 and writes zeros. */
#include <stdlib.h>
#include <string.h>

#include <moegemm/abi.h>

struct moegemm_plan {
    int64_t bytes_per_row;
};

static const moegemm_error* tiny_last_error(void) {
    static const moegemm_error error = {MOEGEMM_UNSUPPORTED, "spec", "not bf16", "bf16", "spec = not bf16"};
    return &error;
}

static moegemm_status tiny_variant(void* self, const char* variant, const char** accumulation,
                                   const char** scale_range) {
    (void)self;
#ifdef FAULT_BAD_ACCUMULATION
    *accumulation = "fp12";
#else
    *accumulation = "fp32";
#endif
    *scale_range = "full";
    return strcmp(variant, "bf16") == 0 ? MOEGEMM_OK : MOEGEMM_UNSUPPORTED;
}

static moegemm_status tiny_supports(void* self, const moegemm_spec* spec) {
    (void)self;
    return strcmp(spec->variant, "bf16") == 0 ? MOEGEMM_OK : MOEGEMM_UNSUPPORTED;
}

static moegemm_status tiny_plan(void* self, const moegemm_spec* spec, const moegemm_plan_options* options,
                                moegemm_plan** plan) {
    (void)self;
    (void)options;
#ifdef FAULT_NULL_PLAN
    (void)spec;
    *plan = NULL;
#else
    *plan = malloc(sizeof **plan);
    (*plan)->bytes_per_row = spec->n * (strcmp(spec->dst_dtype, "f32") == 0 ? 4 : 2);
#endif
    return MOEGEMM_OK;
}

static void tiny_destroy_plan(moegemm_plan* plan) { free(plan); }

static size_t tiny_bytes(const moegemm_plan* plan) {
    (void)plan;
    return 0;
}

static const char* tiny_kernels(const moegemm_plan* plan) {
    (void)plan;
    return "zeros";
}

static moegemm_status tiny_pack(moegemm_plan* plan, const moegemm_operands* operands, const DLTensor* packed,
                                void* stream) {
    (void)plan;
    (void)operands;
    (void)packed;
    (void)stream;
    return MOEGEMM_UNSUPPORTED;
}

static moegemm_status tiny_run(moegemm_plan* plan, const moegemm_operands* operands, void* stream) {
    (void)stream;
#ifdef FAULT_UNKNOWN_STATUS
    (void)plan;
    (void)operands;
    return 99;
#elif defined FAULT_SILENT_STATUS
    (void)plan;
    (void)operands;
    return MOEGEMM_IO; /* last_error tells of another */
#else
    memset(operands->y->data, 0, (size_t)(operands->y->shape[0] * plan->bytes_per_row));
    return MOEGEMM_OK;
#endif
}

static const moegemm_provider tiny = {
#ifdef FAULT_PROVIDER_VERSION
    MOEGEMM_ABI_VERSION + 1,
#else
    MOEGEMM_ABI_VERSION,
#endif
#ifdef FAULT_PROVIDER_SIZE
    16,
#else
    sizeof(moegemm_provider),
#endif
    NULL,
#ifdef FAULT_NAME_OF_ANOTHER
    "reference",
#elif defined FAULT_NULL_NAME
    NULL,
#else
    "tiny",
#endif
    "1",
    "zeros",
    kDLCPU,
    0,
#ifdef FAULT_UNAVAILABLE
    "there is no tiny device",
#else
    NULL,
#endif
    tiny_variant,
    tiny_supports,
    tiny_plan,
    tiny_destroy_plan,
#ifdef FAULT_NULL_FUNCTION
    NULL,
#else
    tiny_bytes,
#endif
    tiny_bytes,
    tiny_kernels,
    tiny_pack,
    tiny_run,
    tiny_last_error,
};

#ifdef FAULT_NO_ENTRY
#define moegemm_plugin_entry another_entry
#endif
MOEGEMM_EXPORT const moegemm_plugin* moegemm_plugin_entry(uint32_t host_abi_version);

const moegemm_plugin* moegemm_plugin_entry(uint32_t host_abi_version) {
    static const moegemm_provider* const providers[] = {&tiny
#ifdef FAULT_TWICE
                                                        ,
                                                        &tiny
#endif
    };
    static const moegemm_plugin plugin = {
#ifdef FAULT_PLUGIN_VERSION
        MOEGEMM_ABI_VERSION + 1,
#else
        MOEGEMM_ABI_VERSION,
#endif
#ifdef FAULT_PLUGIN_SIZE
        4,
#else
        sizeof(moegemm_plugin),
#endif
        "tiny",
#ifdef FAULT_NO_PROVIDERS
        0,
#else
        sizeof providers / sizeof *providers,
#endif
        providers,
    };
#ifdef FAULT_NULL_ENTRY
    return host_abi_version == MOEGEMM_ABI_VERSION + 1 ? &plugin : NULL;
#else
    return host_abi_version == MOEGEMM_ABI_VERSION ? &plugin : NULL;
#endif
}
