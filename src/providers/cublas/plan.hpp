/// \file
/// A call of the `cublas` provider made ready, by cuBLAS's grouped batched product: it reads row counts on the host.
#pragma once

#include <memory>
#include <mutex>

#include <moegemm/provider.hpp>

#include "providers/cublas/groups.hpp"
#include "providers/cublas/library.hpp"

namespace moegemm::cublas {

class CublasPlan final : public Plan {
public:
    CublasPlan(const GemmSpec& spec, DLDevice device, std::shared_ptr<const Library> library);
    ~CublasPlan() override;
    CublasPlan(const CublasPlan&) = delete;
    CublasPlan& operator=(const CublasPlan&) = delete;

    [[nodiscard]] std::size_t workspace_bytes() const override;
    [[nodiscard]] std::vector<std::string> kernels() const override;

private:
    void do_run(const Operands& operands, void* stream) override;
    [[nodiscard]] std::size_t pointer_bytes() const;

    std::shared_ptr<const Library> library_;
    std::mutex mutex_;  // a handle serves one thread at a time
    api::Handle handle_ = nullptr;
    Groups groups_;
};

}  // namespace moegemm::cublas
