#include "providers/cudnn/graph.hpp"

#include <dlfcn.h>

#include <cstddef>
#include <exception>
#include <unordered_map>
#include <utility>

// Everything of cuDNN's is looked for in the library that was loaded, and nothing is written as JSON.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include <moegemm/error.hpp>

namespace cudnn_frontend {
// The frontend's own name for the library to look in.
void* cudnn_dlhandle = nullptr;
}  // namespace cudnn_frontend

namespace moegemm::cudnn {
namespace {

namespace fe = cudnn_frontend;

enum Uid : std::int64_t { uid_tokens = 1, uid_weights, uid_offsets, uid_alpha, uid_y };

fe::DataType_t type_of(DType dtype) {
    switch (dtype) {
        case DType::bf16:
            return fe::DataType_t::BFLOAT16;
        case DType::f16:
            return fe::DataType_t::HALF;
        case DType::e4m3:
            return fe::DataType_t::FP8_E4M3;
        case DType::e5m2:
            return fe::DataType_t::FP8_E5M2;
        default:
            return fe::DataType_t::FLOAT;
    }
}

/// The frontend looks for the CUDA runtime by its bare name; one that lies where the loader does not look is found by
/// that name, too, once it is loaded.
void load_cuda_runtime(const std::string& cudnn_file) {
    const std::filesystem::path folder = std::filesystem::path(cudnn_file).parent_path();
    for (const std::filesystem::path& near :
         {folder, folder / "../../cu13/lib", std::filesystem::path("/usr/local/cuda/lib64")}) {
        if (dlopen((near / "libcudart.so.13").c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) {
            return;
        }
    }
}

/// Runs a step of the frontend's, which returns errors and, where a function of a library is missing, throws them.
template <class Step>
void attempt(ErrorCode code, const char* what, Step&& step) {
    std::string reason;
    try {
        fe::error_t status = step();
        if (status.is_good()) {
            return;
        }
        reason = status.get_message();
    } catch (const std::exception& error) {
        reason = error.what();
    }
    throw Error(code, what, reason.empty() ? "refused without a reason" : reason, "what cuDNN takes");
}

fe::error_t cudnn_status(cudnnStatus_t status) {
    return status == CUDNN_STATUS_SUCCESS
               ? fe::error_t{fe::error_code_t::OK, ""}
               : fe::error_t{fe::error_code_t::CUDNN_BACKEND_API_FAILED, fe::detail::get_error_string(status)};
}

}  // namespace

Handle::Handle(const Library& library) {
    fe::cudnn_dlhandle = library.file.handle();
    load_cuda_runtime(library.file.path());
    attempt(ErrorCode::internal, "cudnnCreate", [&] {
        cudnnHandle_t handle = nullptr;
        const cudnnStatus_t status = fe::detail::create_handle(&handle);
        handle_ = handle;
        return cudnn_status(status);
    });
}

Handle::~Handle() {
    if (handle_ != nullptr) {
        (void)fe::detail::destroy_handle(static_cast<cudnnHandle_t>(handle_));
    }
}

struct Graph::State {
    fe::graph::Graph graph;
};

Graph::Graph(const Library& library, const Handle& handle, const GemmSpec& spec, std::int64_t rows)
    : state_(std::make_unique<State>()) {
    fe::graph::Graph& graph = state_->graph;
    graph.set_intermediate_data_type(fe::DataType_t::FLOAT).set_compute_data_type(fe::DataType_t::FLOAT);
    const auto tensor = [&](const char* name, Uid uid, DType dtype, std::vector<std::int64_t> shape,
                            std::vector<std::int64_t> strides) {
        return graph.tensor(fe::graph::Tensor_attributes()
                                .set_name(name)
                                .set_uid(uid)
                                .set_data_type(dtype == DType::i32 ? fe::DataType_t::INT32 : type_of(dtype))
                                .set_dim(shape)
                                .set_stride(strides));
    };
    const std::int64_t offset_count = spec.experts + (library.takes_end() ? 1 : 0);
    const auto tokens = tensor("tokens", uid_tokens, spec.a, {1, rows, spec.k}, {rows * spec.k, spec.k, 1});
    // W is (E, N, K), and cuDNN wants to see (E, K, N).
    const auto weights =
        tensor("weights", uid_weights, spec.w, {spec.experts, spec.k, spec.n}, {spec.n * spec.k, 1, spec.k});
    const auto offsets = tensor("first_token_offset", uid_offsets, DType::i32, {offset_count, 1, 1}, {1, 1, 1});
    auto y = graph.moe_grouped_matmul(tokens, weights, offsets, nullptr, nullptr,
                                      fe::graph::Moe_grouped_matmul_attributes()
                                          .set_name("products")
                                          .set_mode(fe::MoeGroupedMatmulMode_t::NONE)
                                          .set_compute_data_type(fe::DataType_t::FLOAT));
    if (spec.has_alpha) {
        const std::int64_t values = library.takes_scalar() ? 1 : rows;
        const auto alpha = tensor("alpha", uid_alpha, DType::f32, {1, values, 1}, {values, 1, 1});
        y->set_data_type(fe::DataType_t::FLOAT);
        y = graph.pointwise(y, alpha,
                            fe::graph::Pointwise_attributes()
                                .set_name("scale")
                                .set_mode(fe::PointwiseMode_t::MUL)
                                .set_compute_data_type(fe::DataType_t::FLOAT));
    }
    y->set_output(true)
        .set_uid(uid_y)
        .set_data_type(type_of(spec.dst))
        .set_dim({1, rows, spec.n})
        .set_stride({rows * spec.n, spec.n, 1});
    auto* cudnn = static_cast<cudnnHandle_t>(handle.get());
    const auto step = [](const char* what, auto&& body) { attempt(ErrorCode::unsupported, what, body); };
    step("the graph", [&] { return graph.validate(); });
    step("the operation graph", [&] { return graph.build_operation_graph(cudnn); });
    step("the choice of kernels", [&] {
        return graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
    });
    step("the kernels", [&] { return graph.check_support(); });
}

Graph::~Graph() = default;

void Graph::build() {
    attempt(ErrorCode::unsupported, "the kernels",
            [&] { return state_->graph.build_plans(fe::BuildPlanPolicy_t::HEURISTICS_CHOICE); });
}

std::size_t Graph::workspace_bytes() const {
    std::int64_t bytes = 0;
    attempt(ErrorCode::internal, "the workspace", [&] { return state_->graph.get_workspace_size(bytes); });
    return static_cast<std::size_t>(bytes);
}

std::string Graph::kernel() const {
    std::string name;
    attempt(ErrorCode::internal, "the plan's name", [&] { return state_->graph.get_plan_name(name); });
    return name;
}

void Graph::run(const Handle& handle, const CallMemory& memory, void* stream) const {
    auto* cudnn = static_cast<cudnnHandle_t>(handle.get());
    attempt(ErrorCode::internal, "cudnnSetStream",
            [&] { return cudnn_status(fe::detail::set_stream(cudnn, static_cast<cudaStream_t>(stream))); });
    std::unordered_map<std::int64_t, void*> pointers{
        {uid_tokens, memory.tokens}, {uid_weights, memory.weights}, {uid_offsets, memory.offsets}, {uid_y, memory.y}};
    if (memory.alpha != nullptr) {
        pointers.emplace(uid_alpha, memory.alpha);
    }
    attempt(ErrorCode::internal, "the MoE grouped matmul",
            [&] { return state_->graph.execute(cudnn, pointers, memory.workspace); });
}

}  // namespace moegemm::cudnn
