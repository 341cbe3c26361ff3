/* The C ABI: a routed problem, a provider, one call, and what an error looks like. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <moegemm/abi.h>

enum { experts = 4, rows = 24, columns = 48, depth = 64 };

static uint16_t a[rows * depth], w[experts * columns * depth];
static float y[rows * columns];

/* bfloat16 is the upper half of a float32. */
static float from_bf16(uint16_t code) {
    const uint32_t bits = (uint32_t)code << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void fill(uint16_t* codes, size_t count, uint32_t seed) {
    for (size_t i = 0; i < count; ++i) {
        seed = seed * 1664525u + 1013904223u;
        codes[i] = (uint16_t)(0x3f00u | (seed >> 16 & 0x8000u) | (seed >> 24 & 0xffu)); /* +-(0.5 ... 2) */
    }
}

static DLTensor tensor(void* data, DLDataType dtype, int32_t rank, int64_t* shape) {
    DLTensor made;
    memset(&made, 0, sizeof made);
    made.data = data;
    made.device.device_type = kDLCPU;
    made.dtype = dtype;
    made.ndim = rank;
    made.shape = shape;
    return made;
}

static int fail(const moegemm_error* error) {
    fprintf(stderr, "%s\n", error->message);
    return 1;
}

int main(int argc, char** argv) {
    /* topk must be at least 1: the error says which argument, its value, and what is allowed. */
    const char* keys[] = {"num_tokens", "num_experts", "topk",          "hidden_size", "new_hidden_size",
                          "dtype",      "w_dtype",     "compute_dtype", "dst_dtype"};
    const char* values[] = {"12", "4", "0", "64", "48", "bfloat16", "bfloat16", "bfloat16", "float32"};
    const size_t count = sizeof keys / sizeof *keys;
    moegemm_problem* problem = NULL;
    if (moegemm_problem_create(keys, values, count, "uniform", 1, &problem) == MOEGEMM_OK) {
        fprintf(stderr, "topk 0 was accepted\n");
        return 1;
    }
    printf("refused: %s is %s; allowed: %s\n", moegemm_last_error()->argument, moegemm_last_error()->value,
           moegemm_last_error()->allowed);

    values[2] = "2";
    if (moegemm_problem_create(keys, values, count, "uniform", 1, &problem) != MOEGEMM_OK) {
        return fail(moegemm_last_error());
    }
    const int32_t* m_indptr = moegemm_problem_m_indptr(problem);

    const moegemm_provider* provider = NULL;
    if (moegemm_find_provider(argc > 1 ? argv[1] : "cpu", &provider) != MOEGEMM_OK) {
        return fail(moegemm_last_error());
    }
    moegemm_plan_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.device.device_type = kDLCPU;
    moegemm_plan* plan = NULL;
    if (provider->plan(provider->self, moegemm_problem_spec(problem), &options, &plan) != MOEGEMM_OK) {
        return fail(provider->last_error());
    }

    fill(a, sizeof a / sizeof *a, 1);
    fill(w, sizeof w / sizeof *w, 2);
    const DLDataType bf16 = {kDLBfloat, 16, 1}, f32 = {kDLFloat, 32, 1}, i32 = {kDLInt, 32, 1}, u8 = {kDLUInt, 8, 1};
    int64_t a_shape[] = {rows, depth}, w_shape[] = {experts, columns, depth}, y_shape[] = {rows, columns};
    int64_t m_indptr_shape[] = {experts + 1}, workspace_shape[] = {(int64_t)provider->workspace_bytes(plan)};
    /* aligned_alloc wants whole multiples of the alignment. */
    void* workspace = aligned_alloc(64, ((size_t)workspace_shape[0] + 64) / 64 * 64);
    const DLTensor a_tensor = tensor(a, bf16, 2, a_shape), w_tensor = tensor(w, bf16, 3, w_shape);
    const DLTensor y_tensor = tensor(y, f32, 2, y_shape), workspace_tensor = tensor(workspace, u8, 1, workspace_shape);
    const DLTensor m_indptr_tensor = tensor((void*)(uintptr_t)m_indptr, i32, 1, m_indptr_shape);
    moegemm_operands operands;
    memset(&operands, 0, sizeof operands);
    operands.struct_size = sizeof operands;
    operands.a = &a_tensor;
    operands.w = &w_tensor;
    operands.m_indptr = &m_indptr_tensor;
    operands.y = &y_tensor;
    operands.workspace = &workspace_tensor;
    if (provider->run(plan, &operands, NULL) != MOEGEMM_OK) {
        return fail(provider->last_error());
    }

    double worst = 0.0;
    for (int expert = 0; expert < experts; ++expert) {
        for (int row = m_indptr[expert]; row < m_indptr[expert + 1]; ++row) {
            for (int n = 0; n < columns; ++n) {
                double expected = 0.0;
                for (int k = 0; k < depth; ++k) {
                    expected += (double)from_bf16(a[row * depth + k]) *
                                (double)from_bf16(w[(expert * columns + n) * depth + k]);
                }
                const double error = fabs((double)y[row * columns + n] - expected);
                worst = error > worst ? error : worst;
            }
        }
    }
    printf("%s: %d rows, the largest error is %.1e\n", provider->name, (int)m_indptr[experts], worst);

    provider->destroy_plan(plan);
    moegemm_problem_destroy(problem);
    free(workspace);
    return worst < 1e-3 ? 0 : 1;
}
