/**
 * \file
 * The C ABI of moegemm, version 1: one table of functions a provider, over DLPack tensors.
 *
 * It is used both ways. A plug-in library exports `moegemm_plugin_entry` and offers such tables; the library itself
 * offers its built-in providers through `moegemm_find_provider`, so that a C caller sees one shape only. No C++ type,
 * exception or allocation crosses it: every object is destroyed by the side that made it, and texts that a function
 * returns are owned by the callee.
 */
#ifndef MOEGEMM_ABI_H
#define MOEGEMM_ABI_H

#include <stddef.h>
#include <stdint.h>

#include <dlpack/dlpack.h>

#if defined(_WIN32)
#define MOEGEMM_EXPORT __declspec(dllexport)
#else
#define MOEGEMM_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define MOEGEMM_ABI_VERSION 1u

/** What a function returned; the kinds of moegemm::ErrorCode. */
typedef int32_t moegemm_status;
enum {
    MOEGEMM_OK = 0,
    MOEGEMM_INVALID_ARGUMENT = 1,
    MOEGEMM_UNSUPPORTED = 2,
    MOEGEMM_OUT_OF_MEMORY = 3,
    MOEGEMM_OVERFLOW = 4,
    MOEGEMM_IO = 5,
    MOEGEMM_PARSE = 6,
    MOEGEMM_PLUGIN = 7,
    MOEGEMM_INTERNAL = 8
};

/** The last error of the calling thread; the texts live until the thread's next failing call. */
typedef struct moegemm_error {
    moegemm_status status;
    const char* argument; /**< the name of what was wrong */
    const char* value;    /**< what it was */
    const char* allowed;  /**< what it may be */
    const char* message;  /**< all of it in one line */
} moegemm_error;

/** What a plan is built for; moegemm::GemmSpec. */
typedef struct moegemm_spec {
    uint32_t struct_size;     /**< sizeof(moegemm_spec) of the caller */
    const char* variant;      /**< the variant's name: "bf16", "mxfp4", … */
    const char* a_dtype;      /**< stored elements: "bf16" "i8" "e4m3" "e5m2" "e2m1x2" */
    const char* w_dtype;      /**< likewise */
    const char* dst_dtype;    /**< "bf16" "f16" "f32" */
    const char* scale_layout; /**< "none" "mn_major" "k_major" "swizzled_128x4" "swizzled_128x4_whole" "linear" */
    int32_t has_alpha;
    int64_t experts;  /**< E */
    int64_t n;        /**< N */
    int64_t k;        /**< K */
    int64_t max_rows; /**< the largest M */
} moegemm_spec;

/** moegemm::PlanOptions. It grows at its end: a field that struct_size leaves out is taken as 0. */
typedef struct moegemm_plan_options {
    uint32_t struct_size;
    DLDevice device;
    int32_t threads;    /**< 0: all that the process may run on */
    const char* kernel; /**< may be null */
    int32_t inexact;    /**< whether operands may be rounded, and fp8 sums promoted, for speed */
} moegemm_plan_options;

/** moegemm::Operands; an absent tensor is null. */
typedef struct moegemm_operands {
    uint32_t struct_size;
    const DLTensor* a;
    const DLTensor* w;
    const DLTensor* a_scale;
    const DLTensor* w_scale;
    const DLTensor* alpha;
    const DLTensor* m_indptr;
    const DLTensor* y;
    const DLTensor* packed_w;
    const DLTensor* workspace;
    const int32_t* host_m_indptr;
} moegemm_operands;

/** A plan; made and destroyed by its provider. */
typedef struct moegemm_plan moegemm_plan;

/** One provider. Every function may be called from several threads at once. */
typedef struct moegemm_provider {
    uint32_t abi_version; /**< MOEGEMM_ABI_VERSION of whoever made the table */
    uint32_t struct_size;
    void* self; /**< first argument of the functions below */
    const char* name;
    const char* version;
    const char* description;
    int32_t device_type;       /**< DLDeviceType of its tensors */
    int32_t needs_host_counts; /**< run refuses to work without host_m_indptr */
    const char* unavailable; /**< why it cannot work on this machine (no driver, no GPU); null or empty where it can */

    /** MOEGEMM_OK and "fp32", "promoted_128" or "fast", "full" or "bf16"; MOEGEMM_UNSUPPORTED for a variant that is
     * not offered. */
    moegemm_status (*variant)(void* self, const char* variant, const char** accumulation, const char** scale_range);
    /** MOEGEMM_OK, or MOEGEMM_UNSUPPORTED with the reason as last_error's `allowed`. */
    moegemm_status (*supports)(void* self, const moegemm_spec* spec);
    moegemm_status (*plan)(void* self, const moegemm_spec* spec, const moegemm_plan_options* options,
                           moegemm_plan** plan);
    void (*destroy_plan)(moegemm_plan* plan);
    size_t (*workspace_bytes)(const moegemm_plan* plan);
    size_t (*packed_bytes)(const moegemm_plan* plan);
    /** Names of what run launches, joined by ','; lives as long as the plan. */
    const char* (*kernels)(const moegemm_plan* plan);
    moegemm_status (*pack)(moegemm_plan* plan, const moegemm_operands* operands, const DLTensor* packed, void* stream);
    moegemm_status (*run)(moegemm_plan* plan, const moegemm_operands* operands, void* stream);
    /** The calling thread's last error in this library. */
    const moegemm_error* (*last_error)(void);
} moegemm_provider;

/** What a plug-in library offers. */
typedef struct moegemm_plugin {
    uint32_t abi_version;
    uint32_t struct_size;
    const char* name;
    size_t provider_count;
    const moegemm_provider* const* providers; /**< live as long as the library is loaded */
} moegemm_plugin;

/**
 * The symbol that a plug-in library exports.
 * \param host_abi_version MOEGEMM_ABI_VERSION of the program that loads it
 * \return null where the library cannot serve that version
 */
#define MOEGEMM_PLUGIN_ENTRY "moegemm_plugin_entry"
typedef const moegemm_plugin* (*moegemm_plugin_entry_fn)(uint32_t host_abi_version);

/* ---- what the library itself offers to C callers ---- */

/** The version of the ABI that this library was built with. */
MOEGEMM_EXPORT uint32_t moegemm_abi_version(void);

/** The calling thread's last error in this library; status MOEGEMM_OK where there was none. */
MOEGEMM_EXPORT const moegemm_error* moegemm_last_error(void);

/** A built-in provider by its name; the table lives as long as the process. */
MOEGEMM_EXPORT moegemm_status moegemm_find_provider(const char* name, const moegemm_provider** provider);

/** A checked, routed problem. */
typedef struct moegemm_problem moegemm_problem;

/**
 * The op's arguments to a problem (moegemm::Problem::from).
 * \param keys, values `count` pairs of texts, as on the command line: "num_tokens" "128"
 * \param routing "balanced", "uniform", "zipf:<s>" or "counts:<file>"; null is balanced
 * \param[out] problem to be given to moegemm_problem_destroy
 */
MOEGEMM_EXPORT moegemm_status moegemm_problem_create(const char* const* keys, const char* const* values, size_t count,
                                                     const char* routing, uint64_t seed, moegemm_problem** problem);
MOEGEMM_EXPORT void moegemm_problem_destroy(moegemm_problem* problem);
/** The problem's spec; its texts live as long as the problem. */
MOEGEMM_EXPORT const moegemm_spec* moegemm_problem_spec(const moegemm_problem* problem);
/** E+1 row offsets. */
MOEGEMM_EXPORT const int32_t* moegemm_problem_m_indptr(const moegemm_problem* problem);

#ifdef __cplusplus
}
#endif
#endif
