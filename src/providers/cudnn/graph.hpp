/// \file
/// cuDNN's MoE grouped matmul as a graph of its C++ frontend, whose headers stay in graph.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <moegemm/problem.hpp>

#include "providers/cudnn/library.hpp"

namespace moegemm::cudnn {

/// cuDNN's state for one GPU; serves one thread at a time.
class Handle {
public:
    /// For the calling thread's current GPU. \throws Error internal with cuDNN's reason
    explicit Handle(const Library& library);
    ~Handle();
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    [[nodiscard]] void* get() const noexcept { return handle_; }

private:
    void* handle_ = nullptr;
};

/// The memory of one call. Addresses on the GPU.
struct CallMemory {
    void* tokens;
    void* weights;
    void* offsets;  ///< m_indptr
    void* alpha;    ///< null where the spec has none; one value a row where the library takes no scalar
    void* y;
    void* workspace;
};

/// The product of a spec with a fixed number of rows of A.
class Graph {
public:
    /// \throws Error unsupported with cuDNN's reason
    Graph(const Library& library, const Handle& handle, const GemmSpec& spec, std::int64_t rows);
    ~Graph();
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    /// Chooses and makes the kernels, which may take seconds. \throws Error unsupported with cuDNN's reason
    void build();
    /// Once built.
    [[nodiscard]] std::size_t workspace_bytes() const;
    [[nodiscard]] std::string kernel() const;
    /// \throws Error internal with cuDNN's reason
    void run(const Handle& handle, const CallMemory& memory, void* stream) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace moegemm::cudnn
