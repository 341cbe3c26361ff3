// A library with oneDNN's C functions, as far as the provider uses them, that multiplies in plain loops. It takes 8-bit
// floats on any CPU, which oneDNN's own code does on few; and with one FAULT_* it has a fault of its own.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <moegemm/formats/bf16.hpp>
#include <moegemm/formats/e4m3.hpp>
#include <moegemm/formats/e5m2.hpp>

#ifndef FAKE_MAJOR
#define FAKE_MAJOR 3
#endif
#ifndef FAKE_RUNTIME
#define FAKE_RUNTIME 2
#endif
#ifndef FAKE_ISA
#define FAKE_ISA 0x67
#endif
#ifndef FAKE_IMPLEMENTATION
#define FAKE_IMPLEMENTATION "fake:loops"
#endif
#ifndef FAKE_EXECUTE_STATUS
#define FAKE_EXECUTE_STATUS 0
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using moegemm::formats::Bf16;

struct Version {
    int major, minor, patch;
    const char* hash;
    unsigned cpu_runtime, gpu_runtime;
};

struct Desc {
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    int type = 0;
    std::int64_t row_stride = 0;
    std::int64_t column_stride = 0;
    bool any = false;

    [[nodiscard]] std::int64_t at(std::int64_t row, std::int64_t column) const {
        return row * row_stride + column * column_stride;
    }
};

struct Product {
    bool reorders = false;
    Desc a, w, y;
};

struct Memory {
    Desc desc;
    void* data;
};

struct Argument {
    int role;
    Memory* memory;
};

constexpr int bf16 = 2;
constexpr int f32 = 3;
constexpr int s32 = 4;
constexpr int s8 = 5;
constexpr int e5m2 = 9;
constexpr int e4m3 = 10;

std::size_t size_of(int type) { return type == bf16 ? 2 : type == f32 || type == s32 ? 4 : 1; }

double value(const Memory& memory, std::int64_t row, std::int64_t column) {
    const std::int64_t at = memory.desc.at(row, column);
    switch (memory.desc.type) {
        case bf16:
            return Bf16::decode(static_cast<const std::uint16_t*>(memory.data)[at]);
        case s8:
            return static_cast<const std::int8_t*>(memory.data)[at];
        case e5m2:
            return moegemm::formats::E5m2::decode(static_cast<const std::uint8_t*>(memory.data)[at]);
        default:
            return moegemm::formats::E4m3::decode(static_cast<const std::uint8_t*>(memory.data)[at]);
    }
}

int threads = 7;
int threads_in_use = 0;

}  // namespace

#if FAKE_RUNTIME == 2
EXPORT void omp_set_num_threads(int count) { threads = count; }
EXPORT int omp_get_max_threads() { return threads; }
EXPORT int omp_get_num_procs() { return 3; }
#endif
EXPORT int fake_threads_in_use() { return threads_in_use; }

EXPORT const Version* dnnl_version() {
    static const Version version{FAKE_MAJOR, 5, 1, "", FAKE_RUNTIME, 0};
    return &version;
}
EXPORT int dnnl_get_effective_cpu_isa() { return FAKE_ISA; }
EXPORT int dnnl_engine_create(void** engine, int kind, std::size_t index) {
    *engine = nullptr;
    return kind == 1 && index == 0 ? 0 : 2;
}
EXPORT int dnnl_engine_destroy(void*) { return 0; }
EXPORT int dnnl_stream_create(int** stream, void*, unsigned) {
    *stream = new int;
    return 0;
}
EXPORT int dnnl_stream_destroy(int* stream) {
    delete stream;
    return 0;
}
#ifndef FAULT_NO_STREAM_WAIT
EXPORT int dnnl_stream_wait(int*) { return 0; }
#endif

EXPORT int dnnl_memory_desc_create_with_strides(Desc** desc, int rank, const std::int64_t* dims, int type,
                                                const std::int64_t* strides) {
    if (rank != 2) {
        return 2;
    }
    *desc = new Desc{dims[0], dims[1], type, strides[0], strides[1], false};
    return 0;
}
EXPORT int dnnl_memory_desc_create_with_tag(Desc** desc, int rank, const std::int64_t* dims, int type, int tag) {
    if (rank != 2 || tag != 1) {
        return 2;
    }
    *desc = new Desc{dims[0], dims[1], type, 0, 0, true};
    return 0;
}
EXPORT int dnnl_memory_desc_clone(Desc** desc, const Desc* from) {
    *desc = new Desc(*from);
    return 0;
}
EXPORT int dnnl_memory_desc_destroy(Desc* desc) {
    delete desc;
    return 0;
}
// Rows of packed weights are padded, as oneDNN's are: to 16 columns.
EXPORT std::size_t dnnl_memory_desc_get_size(const Desc* desc) {
    return static_cast<std::size_t>(desc->rows * desc->row_stride) * size_of(desc->type);
}

EXPORT int dnnl_matmul_primitive_desc_create(Product** product, void*, const Desc* a, const Desc* w, const Desc* bias,
                                             const Desc* y, const void* attributes) {
    const bool integers = a->type == s8 && w->type == s8 && y->type == s32;
    const bool floats = a->type != s8 && w->type != s8 && (y->type == f32 || y->type == bf16);
    if (bias != nullptr || attributes != nullptr || a->columns != w->rows || a->rows != y->rows ||
        w->columns != y->columns || (!integers && !floats)) {
        return 3;
    }
    Desc weights = *w;
    if (weights.any) {
        weights.any = false;
        weights.row_stride = (weights.columns + 15) / 16 * 16;
        weights.column_stride = 1;
    }
    *product = new Product{false, *a, weights, *y};
    return 0;
}
EXPORT int dnnl_reorder_primitive_desc_create(Product** product, const Desc* from, void*, const Desc* to, void*,
                                              const void*) {
    *product = new Product{true, *from, {}, *to};
    return 0;
}
EXPORT int dnnl_primitive_desc_destroy(Product* product) {
    delete product;
    return 0;
}
EXPORT int dnnl_primitive_desc_query(const Product* product, int what, int, const char** result) {
    // The reference code for everything but one row, as binary post-ops made oneDNN 3.2 choose.
#ifdef FAULT_REFERENCE_FROM_TWO_ROWS
    *result = product->a.rows >= 2 ? "ref:any" : FAKE_IMPLEMENTATION;
#else
    (void)product;
    *result = FAKE_IMPLEMENTATION;
#endif
    return what == 8 ? 0 : 2;
}
EXPORT const Desc* dnnl_primitive_desc_query_md(const Product* product, int what, int) {
    return what == 131 ? &product->w : nullptr;
}
EXPORT int dnnl_primitive_create(Product** primitive, const Product* product) {
    *primitive = new Product(*product);
    return 0;
}
EXPORT int dnnl_primitive_destroy(Product* primitive) {
    delete primitive;
    return 0;
}
EXPORT int dnnl_memory_create(Memory** memory, const Desc* desc, void*, void* data) {
    *memory = new Memory{*desc, data};
    return 0;
}
EXPORT int dnnl_memory_destroy(Memory* memory) {
    delete memory;
    return 0;
}

EXPORT int dnnl_primitive_execute(const Product* primitive, int*, int count, const Argument* arguments) {
    if (FAKE_EXECUTE_STATUS != 0) {
        return FAKE_EXECUTE_STATUS;
    }
    threads_in_use = threads;
    Memory* a = nullptr;
    Memory* w = nullptr;
    Memory* y = nullptr;
    for (int i = 0; i < count; ++i) {
        Memory* memory = arguments[i].memory;
        (arguments[i].role == 1 ? a : arguments[i].role == 33 ? w : y) = memory;
    }
    if (primitive->reorders) {
        const std::size_t size = size_of(a->desc.type);
        std::memset(y->data, 0, dnnl_memory_desc_get_size(&y->desc));
        for (std::int64_t row = 0; row < a->desc.rows; ++row) {
            for (std::int64_t column = 0; column < a->desc.columns; ++column) {
                std::memcpy(
                    static_cast<char*>(y->data) + static_cast<std::size_t>(y->desc.at(row, column)) * size,
                    static_cast<const char*>(a->data) + static_cast<std::size_t>(a->desc.at(row, column)) * size, size);
            }
        }
        return 0;
    }
    for (std::int64_t row = 0; row < y->desc.rows; ++row) {
        for (std::int64_t column = 0; column < y->desc.columns; ++column) {
            double sum = 0;
            for (std::int64_t k = 0; k < a->desc.columns; ++k) {
                sum += value(*a, row, k) * value(*w, k, column);
            }
            const std::int64_t at = y->desc.at(row, column);
            if (y->desc.type == bf16) {
                static_cast<std::uint16_t*>(y->data)[at] = Bf16::encode(static_cast<float>(sum));
            } else if (y->desc.type == f32) {
                static_cast<float*>(y->data)[at] = static_cast<float>(sum);
            } else {
                static_cast<std::int32_t*>(y->data)[at] = static_cast<std::int32_t>(sum);
            }
        }
    }
    return 0;
}
