/* A provider of CUDA tensors that needs no GPU: it looks at no memory, keeps the stream that it was given, and answers
 * what the test has set. A second one, the same but for its name, needs no workspace whatever the test has set. */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <moegemm/abi.h>

struct moegemm_plan {
    int64_t workspace;
};

MOEGEMM_EXPORT extern uintptr_t recorded_stream;
MOEGEMM_EXPORT extern uintptr_t recorded_workspace;
MOEGEMM_EXPORT extern int32_t recorded_calls;
MOEGEMM_EXPORT extern int32_t recorded_inexact;
MOEGEMM_EXPORT extern int32_t answered_status;
MOEGEMM_EXPORT extern int64_t workspace_bytes;
MOEGEMM_EXPORT extern volatile int32_t held;
uintptr_t recorded_stream = 0;
uintptr_t recorded_workspace = 0;
int32_t recorded_calls = 0;
int32_t recorded_inexact = 0;
int32_t answered_status = MOEGEMM_OK;
int64_t workspace_bytes = 0;
volatile int32_t held = 0;

static const moegemm_error* recorder_last_error(void) {
    static moegemm_error error = {0, "the argument", "the value", "the allowed", "unused"};
    error.status = answered_status;
    return &error;
}

static moegemm_status recorder_variant(void* self, const char* variant, const char** accumulation,
                                       const char** scale_range) {
    (void)self;
    (void)variant;
    *accumulation = "fp32";
    *scale_range = "full";
    return MOEGEMM_OK;
}

static moegemm_status recorder_supports(void* self, const moegemm_spec* spec) {
    (void)self;
    (void)spec;
    return MOEGEMM_OK;
}

static moegemm_status recorder_plan(void* self, const moegemm_spec* spec, const moegemm_plan_options* options,
                                    moegemm_plan** plan) {
    (void)self;
    (void)spec;
    recorded_inexact = options->inexact;
    *plan = malloc(sizeof **plan);
    (*plan)->workspace = workspace_bytes;
    return MOEGEMM_OK;
}

static moegemm_status frugal_plan(void* self, const moegemm_spec* spec, const moegemm_plan_options* options,
                                  moegemm_plan** plan) {
    const moegemm_status status = recorder_plan(self, spec, options, plan);
    (*plan)->workspace = 0;
    return status;
}

static void recorder_destroy_plan(moegemm_plan* plan) { free(plan); }

static size_t recorder_workspace_bytes(const moegemm_plan* plan) { return (size_t)plan->workspace; }

static size_t recorder_packed_bytes(const moegemm_plan* plan) {
    (void)plan;
    return 0;
}

static const char* recorder_kernels(const moegemm_plan* plan) {
    (void)plan;
    return "recorder";
}

static moegemm_status recorder_pack(moegemm_plan* plan, const moegemm_operands* operands, const DLTensor* packed,
                                    void* stream) {
    (void)plan;
    (void)operands;
    (void)packed;
    (void)stream;
    return MOEGEMM_UNSUPPORTED;
}

static moegemm_status recorder_run(moegemm_plan* plan, const moegemm_operands* operands, void* stream) {
    (void)plan;
    recorded_stream = (uintptr_t)stream;
    recorded_workspace = operands->workspace == NULL ? 0 : (uintptr_t)operands->workspace->data;
    ++recorded_calls;
    /* Until another thread lets go, for ten seconds at most. */
    for (int wait = 0; held && wait < 10000; ++wait) {
        const struct timespec millisecond = {0, 1000000};
        nanosleep(&millisecond, NULL);
    }
    return held ? MOEGEMM_INTERNAL : answered_status;
}

#define PROVIDER(name, plan)                                                                                        \
    {                                                                                                               \
        MOEGEMM_ABI_VERSION, sizeof(moegemm_provider), NULL, name, "1", "keeps what it is given", kDLCUDA, 0, NULL, \
            recorder_variant, recorder_supports, plan, recorder_destroy_plan, recorder_workspace_bytes,             \
            recorder_packed_bytes, recorder_kernels, recorder_pack, recorder_run, recorder_last_error               \
    }
static const moegemm_provider recorder = PROVIDER("recorder", recorder_plan);
static const moegemm_provider frugal = PROVIDER("frugal_recorder", frugal_plan);

MOEGEMM_EXPORT const moegemm_plugin* moegemm_plugin_entry(uint32_t host_abi_version);

const moegemm_plugin* moegemm_plugin_entry(uint32_t host_abi_version) {
    static const moegemm_provider* const providers[] = {&recorder, &frugal};
    static const moegemm_plugin plugin = {MOEGEMM_ABI_VERSION, sizeof(moegemm_plugin), "recorder", 2, providers};
    return host_abi_version == MOEGEMM_ABI_VERSION ? &plugin : NULL;
}
