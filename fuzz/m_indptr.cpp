// Row offsets from outside: what check_m_indptr lets through is a partition of the rows, and accounting and scale
// layouts hold for it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <moegemm/error.hpp>
#include <moegemm/problem.hpp>
#include <moegemm/scale_layout.hpp>
#include <moegemm/tensor.hpp>

namespace {

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void check_problem(const moegemm::Problem& problem) {
    std::int64_t rows = 0;
    for (std::int64_t expert = 0; expert < problem.spec().experts; ++expert) {
        require(problem.rows_of(expert) >= problem.rows_min() && problem.rows_of(expert) <= problem.rows_max());
        rows += problem.rows_of(expert);
    }
    require(rows == problem.rows());
    const moegemm::Accounting counts = moegemm::account(problem);
    require(counts.floor_read_bytes <= counts.read_bytes && counts.read_bytes + counts.write_bytes == counts.io_bytes);
}

/// Every scale of A survives the way to the swizzled storage and back.
void check_scales(const moegemm::Problem& problem) {
    const std::int64_t columns = problem.spec().scale_columns();
    const std::int64_t rows = problem.rows();
    if (rows > 4096) {
        return;
    }
    std::vector<std::uint8_t> linear(static_cast<std::size_t>(rows * columns));
    for (std::size_t i = 0; i < linear.size(); ++i) {
        linear[i] = static_cast<std::uint8_t>(i * 37 + 1);
    }
    namespace scales = moegemm::scales;
    std::vector<std::uint8_t> swizzled(static_cast<std::size_t>(
        scales::swizzled_total_rows(rows, problem.spec().experts) * scales::padded_columns(columns)));
    std::vector<std::uint8_t> back(linear.size());
    using moegemm::ScaleLayout;
    moegemm::convert_a_scales(ScaleLayout::linear, linear, ScaleLayout::swizzled_128x4, swizzled, problem.m_indptr(),
                              columns);
    moegemm::convert_a_scales(ScaleLayout::swizzled_128x4, swizzled, ScaleLayout::linear, back, problem.m_indptr(),
                              columns);
    require(linear == back);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<std::int32_t> offsets(size / sizeof(std::int32_t));
    if (offsets.empty()) {
        return 0;
    }
    std::memcpy(offsets.data(), data, offsets.size() * sizeof(std::int32_t));
    moegemm::GemmSpec spec;
    spec.variant = moegemm::Variant::mxfp4;
    spec.a = moegemm::DType::e4m3;
    spec.w = moegemm::DType::e2m1x2;
    spec.scale_layout = moegemm::ScaleLayout::swizzled_128x4;
    spec.experts = static_cast<std::int64_t>(offsets.size()) - 1;
    spec.n = 3;
    spec.k = 160;
    try {
        const moegemm::Problem problem = moegemm::Problem::from(spec, std::move(offsets));
        check_problem(problem);
        check_scales(problem);
    } catch (const moegemm::Error&) {
    }
    return 0;
}
