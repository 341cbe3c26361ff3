// Every committed conformance vector on every kernel family, packed and not.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <moegemm/error.hpp>
#include <moegemm/variant.hpp>

#include "providers/cpu/call.hpp"

namespace moegemm::test {
namespace {

namespace fs = std::filesystem;

/// One case folder.
struct Vector {
    GemmSpec spec;
    std::vector<std::int32_t> m_indptr;
    std::vector<ExactBuffer> buffers;
    Operands operands;
    std::vector<double> expected;
    Tolerance tolerance{};
};

void read_file(const fs::path& path, void* to, std::size_t bytes) {
    ASSERT_EQ(fs::file_size(path), bytes) << path;
    std::ifstream file(path, std::ios::binary);
    file.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    ASSERT_EQ(file.gcount(), static_cast<std::streamsize>(bytes)) << path;
}

ScaleLayout layout_named(const nlohmann::json& name) {
    if (!name.is_string()) {
        return ScaleLayout::none;
    }
    const auto found = std::find(scale_layout_names.begin(), scale_layout_names.end(), name.get<std::string>());
    return static_cast<ScaleLayout>(found - scale_layout_names.begin());
}

void load(const fs::path& folder, Vector& vector) {
    std::ifstream file(folder / "manifest.json");
    const auto manifest = nlohmann::json::parse(file);
    const auto& arguments = manifest.at("arguments");
    const auto typed =
        resolve_variant(arguments.at("dtype").get<std::string>(), arguments.at("w_dtype").get<std::string>(),
                        arguments.at("compute_dtype").get<std::string>(), arguments.at("dst_dtype").get<std::string>());
    vector.m_indptr = arguments.at("m_indptr").get<std::vector<std::int32_t>>();
    GemmSpec& spec = vector.spec;
    spec.variant = typed.variant;
    spec.dst = typed.dst;
    spec.a = typed.a;
    spec.w = typed.w;
    spec.scale_layout = layout_named(arguments.at("scale_layout"));
    spec.experts = arguments.at("num_experts_per_rank").get<std::int64_t>();
    spec.n = arguments.at("new_hidden_size").get<std::int64_t>();
    spec.k = arguments.at("hidden_size").get<std::int64_t>();
    spec.max_rows = vector.m_indptr.back();
    nlohmann::json files;
    for (const auto& tensor : manifest.at("tensors")) {
        const auto name = tensor.at("name").get<std::string>();
        files[name] = tensor.at("file");
        spec.has_alpha = spec.has_alpha || name == "alpha";
        // The file's own element says which of the two 8-bit formats it holds.
        const DType dtype = find_dtype(tensor.at("dtype").get<std::string>()).value();
        if (name == "scatter_tokens") {
            spec.a = dtype;
        } else if (name == "experts_weight") {
            spec.w = dtype;
        }
    }
    spec.check();
    for (const TensorSpec& tensor : tensor_specs(spec, spec.max_rows)) {
        const ExactBuffer& buffer = vector.buffers.emplace_back(static_cast<std::size_t>(tensor.bytes));
        if (tensor.role != Role::y) {
            read_file(folder / files.at(tensor.name).get<std::string>(), buffer.data(), buffer.size());
        }
        vector.operands[tensor.role] = Tensor(buffer.data(), tensor.dtype, tensor.shape);
    }
    vector.expected.resize(static_cast<std::size_t>(spec.max_rows * spec.n));
    read_file(folder / manifest.at("expected").at("file").get<std::string>(), vector.expected.data(),
              vector.expected.size() * sizeof(double));
    vector.tolerance = {manifest.at("tolerance").at("relative_norm").get<double>(),
                        manifest.at("tolerance").at("relative_max").get<double>()};
}

std::vector<std::string> vector_names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(fs::path(MOEGEMM_TEST_DATA) / "vectors")) {
        if (entry.is_directory()) {
            names.push_back(entry.path().filename().string());
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

TEST(CpuConformance, AllVectorsAreHere) { EXPECT_EQ(vector_names().size(), 37U); }

TEST(CpuConformance, EveryVectorOnEveryFamily) {
    for (const std::string& name : vector_names()) {
        Vector vector;
        load(fs::path(MOEGEMM_TEST_DATA) / "vectors" / name, vector);
        for (const std::string& kernel : testable_kernels()) {
            for (const bool packed : {false, true}) {
                expect_conforms(run_cpu(vector.spec, vector.operands, {kernel, 2, packed}), vector.spec.dst,
                                vector.spec.n, vector.expected, {}, vector.tolerance,
                                name + " on " + kernel + (packed ? ", packed" : ""));
            }
        }
    }
}

}  // namespace
}  // namespace moegemm::test
