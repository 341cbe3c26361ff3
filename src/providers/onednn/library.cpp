#include "providers/onednn/library.hpp"

#include <thread>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "provider/foreign_library.hpp"

namespace moegemm::onednn {
namespace {

constexpr int major_version = 3;

LibrarySearch search() {
    LibrarySearch search{"oneDNN", "MOEGEMM_ONEDNN", {"libdnnl.so.3", "libdnnl.so"}, environment_library_folders()};
    if (const std::filesystem::path folder = program_folder(); !folder.empty()) {
        search.folders.push_back((folder / "../onednn/lib").lexically_normal());  // of a checkout: ./dev onednn
    }
    return search;
}

std::string_view meaning(api::Status status) {
    switch (status) {
        case api::out_of_memory:
            return "out of memory";
        case 2:
            return "invalid arguments";
        case api::unimplemented:
            return "unimplemented";
        case 5:
            return "runtime error";
        default:
            return "another failure";
    }
}

std::string_view runtime_name(unsigned runtime) {
    switch (runtime) {
        case 8:
            return "a thread pool of the caller's";
        case 512:
            return "SYCL";
        default:
            return "an unknown runtime";
    }
}

}  // namespace

std::shared_ptr<const Library> Library::load() {
    const ForeignLibrary file = ForeignLibrary::open(search());
    const auto refusal = [&](std::string what, std::string allowed) {
        return Error(ErrorCode::unsupported, "oneDNN", fmt::format("{}: {}", file.path(), what), std::move(allowed));
    };
    const api::Version* (*version)() = nullptr;
    file.need("dnnl_version", version);
    const api::Version* found = version();
    std::shared_ptr<Library> library(new Library());
    library->version_ = fmt::format("{}.{}.{}", found->major, found->minor, found->patch);
    if (found->major != major_version) {
        throw refusal(fmt::format("version {}", library->version_), fmt::format("version {}.x", major_version));
    }
    library->runtime_ = found->cpu_runtime;
    if (found->cpu_runtime != api::runtime_sequential && found->cpu_runtime != api::runtime_openmp &&
        found->cpu_runtime != api::runtime_tbb) {
        throw refusal(fmt::format("built for {} ({})", runtime_name(found->cpu_runtime), found->cpu_runtime),
                      "one whose CPU runtime is OpenMP, TBB or sequential");
    }
    file.need("dnnl_engine_create", library->engine_create_);
    file.need("dnnl_engine_destroy", library->engine_destroy_);
    file.need("dnnl_get_effective_cpu_isa", library->effective_isa_);
    file.need("dnnl_stream_create", library->stream_create_);
    file.need("dnnl_stream_destroy", library->stream_destroy_);
    file.need("dnnl_stream_wait", library->stream_wait_);
    file.need("dnnl_memory_desc_create_with_strides", library->desc_with_strides_);
    file.need("dnnl_memory_desc_create_with_tag", library->desc_with_tag_);
    file.need("dnnl_memory_desc_clone", library->desc_clone_);
    file.need("dnnl_memory_desc_destroy", library->desc_destroy_);
    file.need("dnnl_memory_desc_get_size", library->desc_bytes_);
    file.need("dnnl_matmul_primitive_desc_create", library->matmul_);
    file.need("dnnl_reorder_primitive_desc_create", library->reorder_);
    file.need("dnnl_primitive_desc_destroy", library->primitive_desc_destroy_);
    file.need("dnnl_primitive_desc_query", library->query_);
    file.need("dnnl_primitive_desc_query_md", library->query_desc_);
    file.need("dnnl_primitive_create", library->primitive_create_);
    file.need("dnnl_primitive_destroy", library->primitive_destroy_);
    file.need("dnnl_primitive_execute", library->execute_);
    file.need("dnnl_memory_create", library->memory_create_);
    file.need("dnnl_memory_destroy", library->memory_destroy_);
    if (library->runtime_ == api::runtime_openmp) {
        file.need("omp_set_num_threads", library->set_threads_);
        file.need("omp_get_max_threads", library->most_threads_);
        file.need("omp_get_num_procs", library->processors_);
    }
    library->check(library->engine_create_(&library->engine_, api::engine_cpu, 0), "dnnl_engine_create");
    return library;
}

Library::~Library() {
    if (engine_ != nullptr) {
        (void)engine_destroy_(engine_);
    }
}

bool Library::has_exact_int8() const {
    return (effective_isa_() & (api::isa_vnni_bits | api::isa_avx512_vnni_bits)) != 0;
}

void Library::check(api::Status status, const char* function) const {
    if (status != 0) {
        throw Error(status == api::out_of_memory ? ErrorCode::out_of_memory : ErrorCode::internal, function,
                    fmt::format("status {} ({}) from oneDNN {}", status, meaning(status), version_), "status 0");
    }
}

Owned<api::MemoryDescObject> Library::matrix(std::int64_t rows, std::int64_t columns, int type, std::int64_t row_stride,
                                             std::int64_t column_stride) const {
    const api::Dims dims{rows, columns};
    const api::Dims strides{row_stride, column_stride};
    api::MemoryDesc desc = nullptr;
    // An element that this version does not know makes no description, and then no product.
    (void)desc_with_strides_(&desc, 2, dims, type, strides);
    return {desc, desc_destroy_};
}

Owned<api::MemoryDescObject> Library::any_matrix(std::int64_t rows, std::int64_t columns, int type) const {
    const api::Dims dims{rows, columns};
    api::MemoryDesc desc = nullptr;
    (void)desc_with_tag_(&desc, 2, dims, type, api::tag_any);
    return {desc, desc_destroy_};
}

Owned<api::MemoryDescObject> Library::copy(api::ConstMemoryDesc desc) const {
    api::MemoryDesc copied = nullptr;
    check(desc_clone_(&copied, desc), "dnnl_memory_desc_clone");
    return {copied, desc_destroy_};
}

Owned<api::PrimitiveDescObject> Library::product(api::ConstMemoryDesc a, api::ConstMemoryDesc w,
                                                 api::ConstMemoryDesc y) const {
    api::PrimitiveDesc desc = nullptr;
    if (a != nullptr && w != nullptr && y != nullptr) {
        (void)matmul_(&desc, engine_, a, w, nullptr, y, nullptr);
    }
    return {desc, primitive_desc_destroy_};
}

Owned<api::PrimitiveDescObject> Library::reorder(api::ConstMemoryDesc from, api::ConstMemoryDesc to) const {
    api::PrimitiveDesc desc = nullptr;
    check(reorder_(&desc, from, engine_, to, engine_, nullptr), "dnnl_reorder_primitive_desc_create");
    return {desc, primitive_desc_destroy_};
}

std::string Library::implementation(api::ConstPrimitiveDesc desc) const {
    const char* text = nullptr;
    check(query_(desc, api::query_impl_info_str, 0, static_cast<void*>(&text)), "dnnl_primitive_desc_query");
    return text == nullptr ? "" : text;
}

api::ConstMemoryDesc Library::weights_of(api::ConstPrimitiveDesc desc) const {
    return query_desc_(desc, api::query_weights_md, 0);
}

Owned<api::PrimitiveObject> Library::primitive(api::ConstPrimitiveDesc desc) const {
    api::Primitive made = nullptr;
    check(primitive_create_(&made, desc), "dnnl_primitive_create");
    return {made, primitive_destroy_};
}

Owned<api::MemoryObject> Library::memory(api::ConstMemoryDesc desc, const void* data) const {
    api::Memory made = nullptr;
    check(memory_create_(&made, desc, engine_, const_cast<void*>(data)), "dnnl_memory_create");
    return {made, memory_destroy_};
}

Owned<api::StreamObject> Library::stream() const {
    constexpr unsigned in_order = 1;
    api::Stream made = nullptr;
    check(stream_create_(&made, engine_, in_order), "dnnl_stream_create");
    return {made, stream_destroy_};
}

void Library::execute(api::PrimitiveObject* primitive, api::StreamObject* stream, const api::Argument* arguments,
                      int count) const {
    check(execute_(primitive, stream, count, arguments), "dnnl_primitive_execute");
    check(stream_wait_(stream), "dnnl_stream_wait");
}

int Library::threads_for(int wanted) const {
    if (runtime_ == api::runtime_openmp) {
        return wanted > 0 ? wanted : processors_();
    }
    const int available = runtime_ == api::runtime_tbb ? static_cast<int>(std::thread::hardware_concurrency()) : 1;
    if (wanted != 0 && wanted != available) {
        throw Error(
            ErrorCode::unsupported, "threads", std::to_string(wanted),
            fmt::format("0 or {}: oneDNN is built {} here", available,
                        runtime_ == api::runtime_tbb ? "for TBB, and has no setting for it," : "without threads"));
    }
    return available;
}

Library::UseThreads::UseThreads(const Library& library, int threads) : library_(library) {
    if (library_.set_threads_ != nullptr) {
        before_ = library_.most_threads_();
        library_.set_threads_(threads);
    }
}

Library::UseThreads::~UseThreads() {
    if (library_.set_threads_ != nullptr) {
        library_.set_threads_(before_);
    }
}

}  // namespace moegemm::onednn
