#include <moegemm/tensor.hpp>

#include "op/checked.hpp"

namespace moegemm {

Accounting account(const Problem& problem) {
    const GemmSpec& spec = problem.spec();
    const std::int64_t used = problem.experts_used();
    // experts_token_count and experts_token_offset, which xpu-perf's op takes in place of m_indptr
    std::int64_t read = checked_mul({2, info(DType::i32).bytes, spec.experts}, "read_bytes");
    std::int64_t write = 0;
    std::int64_t floor = 0;
    for (const TensorSpec& tensor : tensor_specs(spec, problem.rows())) {
        switch (tensor.role) {
            case Role::a:
            case Role::a_scale:
                read = checked_add(read, tensor.bytes, "read_bytes");
                floor = checked_add(floor, tensor.bytes, "floor_read_bytes");
                break;
            case Role::w:
            case Role::w_scale:
                read = checked_add(read, tensor.bytes, "read_bytes");
                floor = checked_add(floor, tensor.bytes / spec.experts * used, "floor_read_bytes");
                break;
            case Role::alpha:
                read = checked_add(read, tensor.bytes, "read_bytes");
                break;
            case Role::m_indptr:
                break;
            case Role::y:
                write = tensor.bytes;
                break;
        }
    }
    return {read, write, checked_add(read, write, "io_bytes"),
            checked_mul({2, problem.rows(), spec.k, spec.n}, "calc_flops"), floor};
}

}  // namespace moegemm
