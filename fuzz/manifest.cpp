// A conformance manifest from outside: a checked problem with the files of its tensors, or a typed error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <moegemm/error.hpp>

#include "bench/conformance.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const moegemm::bench::Manifest manifest = moegemm::bench::parse_manifest(text, "case");
        const moegemm::Problem& problem = manifest.problem;
        if (manifest.expected.shape.front() != problem.rows() || manifest.inputs.size() < 3) {
            std::abort();
        }
    } catch (const moegemm::Error&) {
    }
    return 0;
}
