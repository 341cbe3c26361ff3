#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "bench/conformance.hpp"
#include "op/expect_error.hpp"
#include "scratch_folder.hpp"

namespace moegemm::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using test::throws_error;

const fs::path vectors = fs::path(MOEGEMM_TEST_DATA) / "vectors";

/// A copy of a case that a test may spoil.
class ScratchCase {
public:
    explicit ScratchCase(const std::string& name) : folder_(scratch_ / name) { fs::copy(vectors / name, folder_); }

    [[nodiscard]] const fs::path& folder() const noexcept { return folder_; }
    void edit(const std::function<void(Json&)>& change) const {
        Json manifest = Json::parse(std::ifstream(folder_ / "manifest.json"));
        change(manifest);
        std::ofstream(folder_ / "manifest.json") << manifest.dump();
    }
    /// Whether reading it now fails so; `where` follows the folder's name.
    [[nodiscard]] testing::AssertionResult fails(ErrorCode code, const std::string& where, std::string_view value,
                                                 std::string_view allowed) const {
        return throws_error(code, folder_.string() + where, value, allowed,
                            [&] { (void)read_conformance_case(folder_); });
    }

private:
    test::ScratchFolder scratch_;
    fs::path folder_;
};

/// Whether a case whose manifest was changed so is refused with this message.
testing::AssertionResult refused(const std::function<void(Json&)>& change, const std::string& where,
                                 std::string_view value, std::string_view allowed, ErrorCode code = ErrorCode::parse,
                                 const std::string& name = "mxfp4_uneven") {
    const ScratchCase scratch(name);
    scratch.edit(change);
    return scratch.fails(code, where, value, allowed);
}

Device& host() {
    static const std::unique_ptr<Device> device = make_device("cpu", 2);
    return *device;
}

TEST(Conformance, FindsOneCaseOrAFolderOfThem) {
    EXPECT_EQ(find_conformance_cases(vectors / "bf16_uneven").size(), 1U);
    const std::vector<fs::path> all = find_conformance_cases(vectors);
    EXPECT_EQ(all.size(), 37U);
    EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
    EXPECT_TRUE(throws_error(ErrorCode::io, "/nonexistent", "No such file", "can be read",
                             [] { (void)find_conformance_cases("/nonexistent"); }));
    EXPECT_TRUE(throws_error(ErrorCode::io, MOEGEMM_TEST_DATA "/vectors/bf16_uneven/..//..", "no case", "manifest.json",
                             [] { (void)find_conformance_cases(MOEGEMM_TEST_DATA "/vectors/bf16_uneven/..//.."); }));
}

TEST(Conformance, ReadsEveryVector) {
    for (const fs::path& folder : find_conformance_cases(vectors)) {
        const ConformanceCase item = read_conformance_case(folder);
        EXPECT_EQ(item.name, folder.filename());
        EXPECT_EQ(item.expected.size(),
                  static_cast<std::size_t>(item.manifest.problem.rows() * item.manifest.problem.spec().n));
        EXPECT_EQ(item.manifest.inputs.size(), item.memory.size());
    }
    EXPECT_EQ(read_conformance_case(vectors / "fp8_e5m2_weights/").name, "fp8_e5m2_weights");
    const ConformanceCase extreme = read_conformance_case(vectors / "mxfp8_extreme_exponents");
    EXPECT_EQ(extreme.manifest.required, std::vector<std::string>{"full_scale_range"});
    EXPECT_TRUE(extreme.manifest.tolerance_promoted.has_value());
}

TEST(Conformance, FilesMustBeThereAndHaveTheirSize) {
    const ScratchCase scratch("mxfp4_uneven");
    fs::resize_file(scratch.folder() / "b_scale.bin", fs::file_size(scratch.folder() / "b_scale.bin") - 1);
    EXPECT_TRUE(scratch.fails(ErrorCode::parse, ": tensor b_scale", "b_scale.bin of", "as its shape says"));
    fs::resize_file(scratch.folder() / "b_scale.bin", fs::file_size(scratch.folder() / "b_scale.bin") + 2);
    EXPECT_TRUE(scratch.fails(ErrorCode::parse, ": tensor b_scale", "b_scale.bin of", "as its shape says"));
    fs::remove(scratch.folder() / "scatter_tokens.bin");
    EXPECT_TRUE(scratch.fails(ErrorCode::io, ": tensor scatter_tokens", "No such file", "can be read"));
    fs::remove(scratch.folder() / "manifest.json");
    EXPECT_TRUE(scratch.fails(ErrorCode::io, "/manifest.json", "No such file", "can be read"));
}

TEST(Conformance, TheExpectedOutputHasItsSizeToo) {
    const ScratchCase scratch("int8_uneven");
    fs::resize_file(scratch.folder() / "y.bin", 8);
    EXPECT_TRUE(scratch.fails(ErrorCode::parse, ": tensor y", "y.bin of 8 bytes", "as its shape says"));
}

TEST(Conformance, TheTensorMIndptrIsTheManifests) {
    const ScratchCase scratch("int8_uneven");
    std::fstream file(scratch.folder() / "m_indptr.bin", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4);
    file.put('\x01');
    file.close();
    EXPECT_TRUE(scratch.fails(ErrorCode::parse, ": tensor m_indptr", "other offsets", "arguments.m_indptr"));
}

TEST(Conformance, BrokenJsonNamesItsPlace) {
    const ScratchCase scratch("int8_uneven");
    std::ofstream(scratch.folder() / "manifest.json") << "{\"format\": 1,\n";
    EXPECT_TRUE(scratch.fails(ErrorCode::parse, "/manifest.json:2:1", "unexpected end", "JSON"));
    std::ofstream(scratch.folder() / "manifest.json") << "[]";
    EXPECT_TRUE(scratch.fails(ErrorCode::parse, "", "[]", "an object"));
}

TEST(Conformance, ManifestsNameTheKeyAtFault) {
    const auto erase = [](const char* key) { return [key](Json& json) { json.erase(key); }; };
    for (const char* key : {"format", "op", "variant", "arguments", "tensors", "expected", "tolerance"}) {
        EXPECT_TRUE(refused(erase(key), std::string(": key \"") + key + "\"", "missing", "a value"));
    }
    EXPECT_TRUE(refused([](Json& json) { json["format"] = 2; }, ": key \"format\"", "2", "1"));
    EXPECT_TRUE(refused([](Json& json) { json["op"] = "gemm"; }, ": key \"op\"", "gemm", "moe_quant_group_gemm"));
    EXPECT_TRUE(refused([](Json& json) { json["variant"] = "int4"; }, ": key \"variant\"", "int4", "one of bf16"));
    EXPECT_TRUE(refused([](Json& json) { json["variant"] = "mxfp8"; }, ": key \"variant\"", "mxfp8", "mxfp4"));
    EXPECT_TRUE(refused([](Json& json) { json["tolerance"]["relative_max"] = -1; },
                        ": key \"tolerance\": key \"relative_max\"", "-1", "a number from 0"));
    EXPECT_TRUE(refused([](Json& json) { json["requires"] = "full_scale_range"; }, ": key \"requires\"",
                        "full_scale_range", "a list"));
}

TEST(Conformance, ArgumentsAreChecked) {
    const auto set = [](const char* key, Json value) {
        return [key, value](Json& json) { json["arguments"][key] = value; };
    };
    const std::string arguments = ": key \"arguments\"";
    EXPECT_TRUE(refused(set("hidden_size", -32), arguments + ": key \"hidden_size\"", "-32", "a whole number"));
    EXPECT_TRUE(
        refused(set("hidden_size", 350), ": hidden_size", "350", "multiple of 32", ErrorCode::invalid_argument));
    EXPECT_TRUE(refused(set("new_hidden_size", "130"), arguments + ": key \"new_hidden_size\"", "130", "whole number"));
    EXPECT_TRUE(refused(set("scale_layout", "row"), arguments + ": key \"scale_layout\"", "row", "linear"));
    EXPECT_TRUE(refused(set("dtype", "float3"), ": dtype", "float3", "mxfp4", ErrorCode::invalid_argument));
    EXPECT_TRUE(refused(set("m_indptr", {0, 5000000000}), arguments + ": key \"m_indptr\"", "5000000000", "2^31"));
    EXPECT_TRUE(refused(set("m_indptr", {0, 9, 4, 12, 12, 12}), ": m_indptr", "4", "9", ErrorCode::invalid_argument));
    EXPECT_TRUE(refused(set("m_indptr", {1, 9, 9, 12, 12, 12}), ": m_indptr", "1", "0", ErrorCode::invalid_argument));
    EXPECT_TRUE(
        refused(set("new_hidden_size", std::int64_t{1} << 62), ": experts_weight", " * ", "2^63", ErrorCode::overflow));
}

TEST(Conformance, RoutingArgumentsGiveTheSameRows) {
    EXPECT_TRUE(refused([](Json& json) { json["arguments"]["num_tokens"] = 38; },
                        ": key \"arguments\": key \"m_indptr\"", "other rows", "balanced routing", ErrorCode::parse,
                        "fp8_token_routed"));
    EXPECT_TRUE(refused([](Json& json) { json["arguments"]["ep_size"] = 2; },
                        ": key \"arguments\": key \"num_experts_per_rank\"", "4", "= 8", ErrorCode::parse,
                        "fp8_token_routed"));
}

TEST(Conformance, TensorsAreThoseOfTheProblem) {
    EXPECT_TRUE(refused([](Json& json) { json["tensors"].erase(0); }, ": tensor scatter_tokens", "missing", "e4m3"));
    EXPECT_TRUE(
        refused([](Json& json) { json["tensors"][0]["dtype"] = "i8"; }, ": tensor scatter_tokens", "i8", "e4m3"));
    EXPECT_TRUE(refused([](Json& json) { json["tensors"][0]["dtype"] = "i4"; }, ": tensor 0: key \"dtype\"", "i4",
                        "one of bf16"));
    EXPECT_TRUE(
        refused([](Json& json) { json["tensors"][1]["shape"][2] = 7; }, ": tensor experts_weight", "7", "e2m1x2"));
    EXPECT_TRUE(
        refused([](Json& json) { json["tensors"][1]["shape"] = {3}; }, ": tensor experts_weight", "(3)", "e2m1x2"));
    EXPECT_TRUE(refused([](Json& json) { json["tensors"][1]["file"] = "../w.bin"; }, ": tensor 1: key \"file\"",
                        "../w.bin", "a file in the case's folder"));
    EXPECT_TRUE(refused([](Json& json) { json["expected"]["dtype"] = "f32"; }, ": key \"expected\"", "f32", "f64"));
    EXPECT_TRUE(refused([](Json& json) { json["expected"]["shape"][0] = 1; }, ": key \"expected\"", "(1,", "f64"));
}

TEST(Conformance, UnknownKeysAreIgnored) {
    const ScratchCase scratch("mxfp4_uneven");
    scratch.edit([](Json& json) {
        json["comment"] = {{"author", "x"}};
        json["arguments"]["note"] = 1;
        json["arguments"].erase("scale_layout");  // the variant's default
    });
    EXPECT_NO_THROW((void)read_conformance_case(scratch.folder()));
}

/// Returns what a test tells it to: the expected output, with one fault.
class ScriptedProvider final : public Provider {
public:
    using Fill = std::function<void(const Operands&)>;
    ScriptedProvider(const ConformanceCase& item, Fill fill, ScaleRange range = ScaleRange::full,
                     std::size_t packed = 0)
        : fill_(std::move(fill)), packed_(packed) {
        info_.name = "scripted";
        VariantSupport& support = info_.support[static_cast<std::size_t>(item.manifest.problem.spec().variant)];
        support = {true, Accumulation::fp32, range};
    }
    [[nodiscard]] const ProviderInfo& info() const override { return info_; }
    [[nodiscard]] Support supports(const GemmSpec& spec) const override {
        return info_.support[static_cast<std::size_t>(spec.variant)].offered ? Support::yes()
                                                                             : Support::no("not offered");
    }
    [[nodiscard]] std::unique_ptr<Plan> plan(const GemmSpec& spec, const PlanOptions& options) const override {
        return std::make_unique<ScriptedPlan>(spec, options.device, *this);
    }

private:
    class ScriptedPlan final : public Plan {
    public:
        ScriptedPlan(const GemmSpec& spec, DLDevice device, const ScriptedProvider& owner)
            : Plan(spec, device), owner_(owner) {}
        [[nodiscard]] std::vector<std::string> kernels() const override { return {}; }
        [[nodiscard]] std::size_t packed_bytes() const override { return owner_.packed_; }

    private:
        void do_pack(const Operands& /*operands*/, const Tensor& /*packed*/, void* /*stream*/) override {}
        void do_run(const Operands& operands, void* /*stream*/) override { owner_.fill_(operands); }
        const ScriptedProvider& owner_;
    };

    ProviderInfo info_;
    Fill fill_;
    std::size_t packed_;
};

class ConformanceVerdict : public testing::Test {
protected:
    /// bf16_to_f32_odd_sizes: y is f32, so that the expected numbers can be written as they are.
    ConformanceCase item_ = read_conformance_case(vectors / "bf16_to_f32_odd_sizes");

    void write_expected(const Operands& operands) const {
        for (std::size_t i = 0; i < item_.expected.size(); ++i) {
            operands.y.as<float>()[i] = static_cast<float>(item_.expected[i]);
        }
    }
    [[nodiscard]] Verdict check(const ScriptedProvider& provider) const {
        return check_conformance(item_, provider, host());
    }
};

TEST_F(ConformanceVerdict, PassesWhatIsExpected) {
    const Verdict verdict = check({item_, [&](const Operands& operands) { write_expected(operands); }});
    EXPECT_EQ(verdict.outcome, Verdict::Outcome::passed) << verdict.reason;
}

TEST_F(ConformanceVerdict, FailsOneWrongElement) {
    const Verdict verdict = check({item_, [&](const Operands& operands) {
                                       write_expected(operands);
                                       operands.y.as<float>()[item_.expected.size() - 1] += 1000;
                                   }});
    EXPECT_EQ(verdict.outcome, Verdict::Outcome::failed);
    EXPECT_NE(verdict.reason.find("unpacked"), std::string::npos) << verdict.reason;
}

TEST_F(ConformanceVerdict, FailsWhatWasNotWritten) {
    EXPECT_EQ(check({item_, [](const Operands&) {}}).outcome, Verdict::Outcome::failed);
}

TEST_F(ConformanceVerdict, FailsWritesOutsideOfY) {
    const Verdict verdict = check({item_, [&](const Operands& operands) {
                                       write_expected(operands);
                                       operands.y.as<float>()[item_.expected.size()] = 1;
                                   }});
    EXPECT_EQ(verdict.outcome, Verdict::Outcome::failed);
    EXPECT_NE(verdict.reason.find("y"), std::string::npos) << verdict.reason;
}

TEST_F(ConformanceVerdict, FailsPackedRunsByThemselves) {
    const ScriptedProvider provider(
        item_,
        [&](const Operands& operands) {
            write_expected(operands);
            if (operands.packed_w.defined()) {
                EXPECT_FALSE(operands.w.defined());
                operands.y.as<float>()[0] = 77777;
            }
        },
        ScaleRange::full, 128);
    const Verdict verdict = check(provider);
    EXPECT_EQ(verdict.outcome, Verdict::Outcome::failed);
    EXPECT_EQ(verdict.reason.rfind("packed", 0), 0U) << verdict.reason;
}

TEST_F(ConformanceVerdict, FailsAnException) {
    const Verdict verdict = check({item_, [](const Operands&) { throw std::runtime_error("no kernel"); }});
    EXPECT_EQ(verdict.outcome, Verdict::Outcome::failed);
    EXPECT_EQ(verdict.reason, "no kernel");
}

TEST_F(ConformanceVerdict, SkipsWithTheReason) {
    const ConformanceCase other = read_conformance_case(vectors / "int8_uneven");
    Verdict verdict = check_conformance(other, ScriptedProvider(item_, [](const Operands&) {}), host());
    EXPECT_EQ(verdict.outcome, Verdict::Outcome::skipped);
    EXPECT_EQ(verdict.reason, "not offered");

    const ConformanceCase extreme = read_conformance_case(vectors / "mxfp8_extreme_exponents");
    verdict = check_conformance(extreme,
                                ScriptedProvider(
                                    extreme, [](const Operands&) {}, ScaleRange::bf16),
                                host());
    EXPECT_EQ(verdict.outcome, Verdict::Outcome::skipped);
    EXPECT_NE(verdict.reason.find("full_scale_range"), std::string::npos);
    verdict = check_conformance(extreme, ScriptedProvider(extreme, [](const Operands&) {}), host());
    EXPECT_EQ(verdict.outcome, Verdict::Outcome::failed);
}

}  // namespace
}  // namespace moegemm::bench
