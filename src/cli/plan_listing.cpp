#include "cli/plan_listing.hpp"

#include <iostream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/interrupt.hpp"

#include <moegemm/error.hpp>
#include <moegemm/tensor.hpp>

namespace moegemm::cli {
namespace {

std::string describe(const Problem& problem) {
    const GemmSpec& spec = problem.spec();
    std::string line =
        fmt::format("{:<10} E {}, M {}, N {}, K {}:", spec.row().name, spec.experts, problem.rows(), spec.n, spec.k);
    for (const TensorSpec& tensor : tensor_specs(spec, problem.rows())) {
        line += fmt::format(" {} {} ({}) {} B;", tensor.name, info(tensor.dtype).name, fmt::join(tensor.shape, ", "),
                            tensor.bytes);
    }
    const Accounting counts = account(problem);
    return line +
           fmt::format(" reads {} B, writes {} B, {} FLOPs", counts.read_bytes, counts.write_bytes, counts.flops);
}

}  // namespace

void print_plan(std::span<const bench::Case> cases, const Routing& routing) {
    for (const bench::Case& item : cases) {
        if (interrupted().load()) {
            return;
        }
        std::string line;
        try {
            const Routing own = bench::routing_of(item, routing);
            line = describe(Problem::from(Arguments::from(item.arguments, nullptr), own));
        } catch (const Error& error) {
            line = fmt::format("error: {}: {}", item.source, error.what());
        }
        std::cout << line << '\n';
    }
}

}  // namespace moegemm::cli
