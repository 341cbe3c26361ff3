/// \file
/// Conformance cases: a folder with `manifest.json` and one raw little-endian file a tensor, inputs in the contract's
/// layouts and the expected result in float64. tests/data/vectors/README.md describes the format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <moegemm/provider.hpp>

#include "bench/comparison.hpp"
#include "bench/device.hpp"

namespace moegemm::bench {

/// One tensor's file of a case.
struct TensorFile {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;  ///< stored elements
    std::string file;                 ///< a name in the case's folder
};

/// A manifest that has been checked: the tensors are those of the problem, in type and shape.
struct Manifest {
    Problem problem;
    std::vector<TensorFile> inputs;  ///< every input of the problem, in the order of Role
    TensorFile expected;             ///< y, f64
    Tolerance tolerance;
    std::optional<Tolerance> tolerance_promoted;  ///< for sums promoted every 128 of K
    std::vector<std::string> required;            ///< what a provider may lack: "full_scale_range"
};

/// \param folder how messages call the case
/// \throws Error naming the folder and the key or tensor: parse for what is no such manifest, else as GemmSpec::check
/// and
///         check_m_indptr
[[nodiscard]] Manifest parse_manifest(std::string_view text, const std::string& folder);

/// A case in memory.
struct ConformanceCase {
    std::string name;  ///< the folder's
    Manifest manifest;
    std::vector<std::vector<std::uint8_t>> memory;  ///< of the inputs, in their order
    std::vector<double> expected;                   ///< (M, N), before rounding
};

/// The case folders of `folder`: itself where it holds a manifest.json, else all folders in it, by name.
/// \throws Error io naming the folder: missing, or without any case
[[nodiscard]] std::vector<std::filesystem::path> find_conformance_cases(const std::filesystem::path& folder);

/// \throws Error as parse_manifest; io or parse naming the folder and the tensor whose file is missing or has another
///         size than its shape says
[[nodiscard]] ConformanceCase read_conformance_case(const std::filesystem::path& folder);

/// How a provider did on a case.
struct Verdict {
    enum class Outcome : std::uint8_t { passed, failed, skipped };
    Outcome outcome = Outcome::passed;
    std::string reason;  ///< why it failed or was skipped
    double relative_norm = 0;
    double relative_max = 0;
};

/// Runs a case, also with packed weights where the plan packs (a case passes only if both do), and compares. The output
/// is poisoned before each run and guarded on both sides. Never throws for what a provider does.
/// \param device where the tensors are copied to and the provider runs
[[nodiscard]] Verdict check_conformance(const ConformanceCase& item, const Provider& provider, Device& device);

}  // namespace moegemm::bench
