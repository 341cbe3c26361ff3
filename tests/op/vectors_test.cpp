// The committed conformance vectors, made by an independent float64 implementation of the op.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <moegemm/reference.hpp>

namespace moegemm {
namespace {

using nlohmann::json;

std::filesystem::path vectors_folder() { return std::filesystem::path(MOEGEMM_TEST_DATA) / "vectors"; }

std::vector<std::string> case_names() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(vectors_folder())) {
        if (entry.is_directory()) {
            names.push_back(entry.path().filename());
        }
    }
    return names;
}

/// Bytes in memory that any element may stand in.
struct Blob {
    std::vector<double> memory;
    std::size_t bytes = 0;
};

Blob read_blob(const std::filesystem::path& path) {
    Blob blob;
    blob.bytes = std::filesystem::file_size(path);
    blob.memory.resize(blob.bytes / sizeof(double) + 1);
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(blob.memory.data()), static_cast<std::streamsize>(blob.bytes));
    EXPECT_EQ(static_cast<std::size_t>(file.gcount()), blob.bytes) << path;
    return blob;
}

ScaleLayout layout_of(const json& argument) {
    if (argument.is_null()) {
        return ScaleLayout::none;
    }
    const auto found = std::find(scale_layout_names.begin(), scale_layout_names.end(), argument.get<std::string>());
    EXPECT_NE(found, scale_layout_names.end()) << argument;
    return static_cast<ScaleLayout>(found - scale_layout_names.begin());
}

class Vectors : public testing::TestWithParam<std::string> {
protected:
    void SetUp() override {
        folder_ = vectors_folder() / GetParam();
        std::ifstream file(folder_ / "manifest.json");
        manifest_ = json::parse(file);
        const json& arguments = manifest_["arguments"];
        const TypedVariant typed =
            resolve_variant(arguments["dtype"].get<std::string>(), arguments["w_dtype"].get<std::string>(),
                            arguments["compute_dtype"].get<std::string>(), arguments["dst_dtype"].get<std::string>());
        spec_.variant = typed.variant;
        spec_.a = typed.a;
        spec_.w = typed.w;
        spec_.dst = typed.dst;
        spec_.scale_layout = layout_of(arguments["scale_layout"]);
        spec_.experts = arguments["num_experts_per_rank"];
        spec_.n = arguments["new_hidden_size"];
        spec_.k = arguments["hidden_size"];
        for (const json& tensor : manifest_["tensors"]) {
            spec_.has_alpha = spec_.has_alpha || tensor["name"] == "alpha";
        }
    }

    std::filesystem::path folder_;
    json manifest_;
    GemmSpec spec_;
};

TEST_P(Vectors, TheReferenceGivesTheExpectedOutput) {
    EXPECT_EQ(spec_.row().name, manifest_["variant"].get<std::string>());
    const Problem problem = Problem::from(spec_, manifest_["arguments"]["m_indptr"].get<std::vector<std::int32_t>>());

    std::map<std::string, Blob> blobs;
    Operands operands;
    std::size_t found = 0;
    for (const TensorSpec& tensor : tensor_specs(problem.spec(), problem.rows())) {
        for (const json& entry : manifest_["tensors"]) {
            if (entry["name"] != tensor.name) {
                continue;
            }
            ++found;
            EXPECT_EQ(find_dtype(entry["dtype"].get<std::string>()), tensor.dtype) << tensor.name;
            EXPECT_EQ(entry["shape"].get<std::vector<std::int64_t>>(), tensor.shape) << tensor.name;
            Blob& blob = blobs[tensor.name] = read_blob(folder_ / entry["file"].get<std::string>());
            ASSERT_EQ(static_cast<std::int64_t>(blob.bytes), tensor.bytes) << tensor.name;
            operands[tensor.role] = Tensor(blob.memory.data(), tensor.dtype, tensor.shape);
        }
    }
    EXPECT_EQ(found, manifest_["tensors"].size());
    std::vector<std::uint8_t> y(static_cast<std::size_t>(problem.rows() * spec_.n * info(spec_.dst).bytes) + 8);
    const auto misalignment = reinterpret_cast<std::uintptr_t>(y.data()) % 4;
    operands.y = Tensor(y.data() + (misalignment == 0 ? 0 : 4 - misalignment), spec_.dst, {problem.rows(), spec_.n});
    check_operands(problem.spec(), operands, {kDLCPU, 0});

    const Blob expected = read_blob(folder_ / manifest_["expected"]["file"].get<std::string>());
    const std::vector<double> result =
        reference(problem, HostOperandRows(problem.spec(), operands, problem.m_indptr()));
    ASSERT_EQ(result.size() * sizeof(double), expected.bytes);

    // Sums of float64 in another order differ by less than this, relative to the row's largest; int8 scales in float32.
    const double tolerance = spec_.variant == Variant::int8 ? std::ldexp(1.0, -22) : 1e-12;
    const auto n = static_cast<std::size_t>(spec_.n);
    for (std::size_t first = 0; first < result.size(); first += n) {
        double largest = 0.0;
        for (std::size_t i = first; i < first + n; ++i) {
            largest = std::max(largest, std::isfinite(expected.memory[i]) ? std::abs(expected.memory[i]) : 0.0);
        }
        for (std::size_t i = first; i < first + n; ++i) {
            const double want = expected.memory[i];
            if (std::isnan(want)) {
                ASSERT_TRUE(std::isnan(result[i])) << "row " << i / n << " column " << i % n;
            } else if (std::isinf(want)) {
                ASSERT_EQ(result[i], want) << "row " << i / n << " column " << i % n;
            } else {
                ASSERT_NEAR(result[i], want, tolerance * largest) << "row " << i / n << " column " << i % n;
            }
        }
    }
}

TEST(VectorsFolder, HoldsEveryVariant) {
    std::set<std::string> seen;
    for (const std::string& name : case_names()) {
        std::ifstream file(vectors_folder() / name / "manifest.json");
        seen.insert(json::parse(file)["variant"].get<std::string>());
    }
    EXPECT_EQ(seen.size(), variants.size());
}

INSTANTIATE_TEST_SUITE_P(Conformance, Vectors, testing::ValuesIn(case_names()),
                         [](const testing::TestParamInfo<std::string>& test) { return test.param; });

}  // namespace
}  // namespace moegemm
