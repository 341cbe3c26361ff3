// Workload CSV from outside: cases or a typed error; nothing else may come out.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <moegemm/error.hpp>

#include "bench/workload.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const auto workload = moegemm::bench::parse_workload_csv(text, "moe_quant_group_gemm.csv");
        if (workload.cases.size() > moegemm::bench::max_workload_cases) {
            std::abort();
        }
        for (const moegemm::bench::Case& item : workload.cases) {
            try {
                (void)moegemm::Arguments::from(item.arguments, nullptr);
            } catch (const moegemm::Error&) {
            }
        }
    } catch (const moegemm::Error&) {
    }
    return 0;
}
