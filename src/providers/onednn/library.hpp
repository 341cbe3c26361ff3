/// \file
/// oneDNN, loaded at run time: what is used of its C interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <moegemm/dtype.hpp>

namespace moegemm::onednn {

/// oneDNN's C interface (dnnl.h and dnnl_types.h, the same in all of major version 3) as far as it is used. Its headers
/// need not be installed where this is built: Debian 12 has those of version 2, whose functions are others.
namespace api {

struct EngineObject;
struct StreamObject;
struct MemoryDescObject;
struct MemoryObject;
struct AttrObject;
struct PrimitiveDescObject;
struct PrimitiveObject;

using Engine = EngineObject*;
using Stream = StreamObject*;
using MemoryDesc = MemoryDescObject*;
using ConstMemoryDesc = const MemoryDescObject*;
using Memory = MemoryObject*;
using ConstAttr = const AttrObject*;
using PrimitiveDesc = PrimitiveDescObject*;
using ConstPrimitiveDesc = const PrimitiveDescObject*;
using Primitive = PrimitiveObject*;

using Status = int;
constexpr Status out_of_memory = 1;
constexpr Status unimplemented = 3;

using Dims = std::int64_t[12];

struct Version {
    int major;
    int minor;
    int patch;
    const char* hash;
    unsigned cpu_runtime;
    unsigned gpu_runtime;
};

struct Argument {
    int role;
    Memory memory;
};

constexpr int engine_cpu = 1;
constexpr int tag_any = 1;
constexpr int arg_src = 1;
constexpr int arg_dst = 17;
constexpr int arg_weights = 33;
constexpr int query_impl_info_str = 8;
constexpr int query_weights_md = 131;
constexpr unsigned runtime_sequential = 1;
constexpr unsigned runtime_openmp = 2;
constexpr unsigned runtime_tbb = 4;
constexpr int isa_vnni_bits = 0x8;          // what dnnl_cpu_isa_avx2_vnni adds to avx2
constexpr int isa_avx512_vnni_bits = 0x40;  // what dnnl_cpu_isa_avx512_core_vnni adds to avx512_core

}  // namespace api

/// An object of the library, destroyed by its own function.
template <class Object>
using Owned = std::unique_ptr<Object, api::Status (*)(Object*)>;

/// The loaded library with an engine for the CPU. Thread-safe.
class Library {
public:
    /// \throws Error unsupported: not found, not loadable, another version, or one built for a threading runtime that
    ///         cannot be used here
    [[nodiscard]] static std::shared_ptr<const Library> load();
    ~Library();
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;

    [[nodiscard]] const std::string& version() const noexcept { return version_; }  ///< "3.2.0"
    /// Whether products of 8-bit integers are exact: without VNNI oneDNN adds them in pairs of 16 bits, which saturate.
    [[nodiscard]] bool has_exact_int8() const;

    /// A matrix of `rows` × `columns` whose element (r, c) lies at r · row_stride + c · column_stride.
    [[nodiscard]] Owned<api::MemoryDescObject> matrix(std::int64_t rows, std::int64_t columns, int type,
                                                      std::int64_t row_stride, std::int64_t column_stride) const;
    /// A matrix in the order that the primitive likes best.
    [[nodiscard]] Owned<api::MemoryDescObject> any_matrix(std::int64_t rows, std::int64_t columns, int type) const;
    [[nodiscard]] Owned<api::MemoryDescObject> copy(api::ConstMemoryDesc desc) const;
    [[nodiscard]] std::size_t bytes(api::ConstMemoryDesc desc) const { return desc_bytes_(desc); }

    /// A description of a product, null where oneDNN has none for it.
    [[nodiscard]] Owned<api::PrimitiveDescObject> product(api::ConstMemoryDesc a, api::ConstMemoryDesc w,
                                                          api::ConstMemoryDesc y) const;
    /// A description of a change of order.
    [[nodiscard]] Owned<api::PrimitiveDescObject> reorder(api::ConstMemoryDesc from, api::ConstMemoryDesc to) const;
    [[nodiscard]] std::string implementation(api::ConstPrimitiveDesc desc) const;
    /// The order of the weights of a product.
    [[nodiscard]] api::ConstMemoryDesc weights_of(api::ConstPrimitiveDesc desc) const;
    [[nodiscard]] Owned<api::PrimitiveObject> primitive(api::ConstPrimitiveDesc desc) const;
    [[nodiscard]] Owned<api::MemoryObject> memory(api::ConstMemoryDesc desc, const void* data) const;
    [[nodiscard]] Owned<api::StreamObject> stream() const;
    /// Runs a primitive to its end.
    void execute(api::PrimitiveObject* primitive, api::StreamObject* stream, const api::Argument* arguments,
                 int count) const;

    /// The threads that a plan gets which asks for `wanted`, 0 for all.
    /// \throws Error unsupported ("threads") for a number that this oneDNN's runtime cannot be given
    [[nodiscard]] int threads_for(int wanted) const;

    /// The calling thread's number of threads in oneDNN, put back at the end of the scope.
    class UseThreads {
    public:
        UseThreads(const Library& library, int threads);
        ~UseThreads();
        UseThreads(const UseThreads&) = delete;
        UseThreads& operator=(const UseThreads&) = delete;

    private:
        const Library& library_;
        int before_ = 0;
    };

private:
    Library() = default;
    void check(api::Status status, const char* function) const;

    std::string version_;
    unsigned runtime_ = 0;
    api::Engine engine_ = nullptr;

    // Functions of libdnnl, with their prefix left out.
    api::Status (*engine_create_)(api::Engine*, int kind, std::size_t index) = nullptr;
    api::Status (*engine_destroy_)(api::Engine) = nullptr;
    int (*effective_isa_)() = nullptr;
    api::Status (*stream_create_)(api::Stream*, api::Engine, unsigned flags) = nullptr;
    api::Status (*stream_destroy_)(api::Stream) = nullptr;
    api::Status (*stream_wait_)(api::Stream) = nullptr;
    api::Status (*desc_with_strides_)(api::MemoryDesc*, int rank, const api::Dims, int type, const api::Dims) = nullptr;
    api::Status (*desc_with_tag_)(api::MemoryDesc*, int rank, const api::Dims, int type, int tag) = nullptr;
    api::Status (*desc_clone_)(api::MemoryDesc*, api::ConstMemoryDesc) = nullptr;
    api::Status (*desc_destroy_)(api::MemoryDesc) = nullptr;
    std::size_t (*desc_bytes_)(api::ConstMemoryDesc) = nullptr;
    api::Status (*matmul_)(api::PrimitiveDesc*, api::Engine, api::ConstMemoryDesc a, api::ConstMemoryDesc w,
                           api::ConstMemoryDesc bias, api::ConstMemoryDesc y, api::ConstAttr) = nullptr;
    api::Status (*reorder_)(api::PrimitiveDesc*, api::ConstMemoryDesc from, api::Engine, api::ConstMemoryDesc to,
                            api::Engine, api::ConstAttr) = nullptr;
    api::Status (*primitive_desc_destroy_)(api::PrimitiveDesc) = nullptr;
    api::Status (*query_)(api::ConstPrimitiveDesc, int what, int index, void* result) = nullptr;
    api::ConstMemoryDesc (*query_desc_)(api::ConstPrimitiveDesc, int what, int index) = nullptr;
    api::Status (*primitive_create_)(api::Primitive*, api::ConstPrimitiveDesc) = nullptr;
    api::Status (*primitive_destroy_)(api::Primitive) = nullptr;
    api::Status (*execute_)(const api::PrimitiveObject*, api::Stream, int count, const api::Argument*) = nullptr;
    api::Status (*memory_create_)(api::Memory*, api::ConstMemoryDesc, api::Engine, void* data) = nullptr;
    api::Status (*memory_destroy_)(api::Memory) = nullptr;

    // Functions of the OpenMP runtime that libdnnl brings along; null in another runtime.
    void (*set_threads_)(int) = nullptr;
    int (*most_threads_)() = nullptr;
    int (*processors_)() = nullptr;
};

/// oneDNN's code of an element; 0 where it has none.
[[nodiscard]] constexpr int type_code(DType dtype) noexcept {
    switch (dtype) {
        case DType::f16:
            return 1;
        case DType::bf16:
            return 2;
        case DType::f32:
            return 3;
        case DType::i32:
            return 4;
        case DType::i8:
            return 5;
        case DType::e5m2:
            return 9;
        case DType::e4m3:
            return 10;
        default:
            return 0;
    }
}

}  // namespace moegemm::onednn
