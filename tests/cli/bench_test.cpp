// moegemm bench: dry runs, real runs of a few small cases, and their records.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/child.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const std::string suite = MOEGEMM_WORKLOADS "/xpu_perf/moe_quant_group_gemm.json";

/// Cases that take a moment each.
const std::string small_workload = R"({"moe_quant_group_gemm": [{
    "arg_type": "llm", "num_tokens": [4, 16], "num_experts": 4, "topk": 2, "hidden_size": 128, "new_hidden_size": 96,
    "dtype.w_dtype.compute_dtype": [["int8", "int8", "int8"], ["bfloat16", "mxfp4", "bfloat16"]]}]})";

const std::vector<std::string> fast{"--min-time", "0", "--max-time", "0.02"};

std::vector<std::string> with_fast(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), fast.begin(), fast.end());
    return arguments;
}

std::vector<Json> records_of(const fs::path& file) {
    std::vector<Json> records;
    for (const std::string& line : lines_of(read_file(file))) {
        records.push_back(Json::parse(line));
    }
    return records;
}

std::vector<std::string> keys_of(const Json& object) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : object.items()) {
        keys.push_back(key);
    }
    return keys;
}

TEST(BenchDryRun, ListsTheSuites1380Cases) {
    const ChildResult result = run_moegemm({"bench", suite, "--dry-run"});
    EXPECT_EQ(result.status, 0) << result.err;
    const std::vector<std::string> lines = lines_of(result.out);
    ASSERT_EQ(lines.size(), 1380U);
    for (const char* variant : {"bf16 ", "int8 ", "fp8_token ", "mxfp8 ", "mxfp4_a4 "}) {
        EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                                [&](const std::string& line) { return line.rfind(variant, 0) == 0; }),
                  276)
            << variant;
    }
    EXPECT_NE(lines[0].find("experts_weight bf16 (32, 2048, 4096) 536870912 B"), std::string::npos) << lines[0];
}

TEST(BenchDryRun, WritesPlannedRecordsWithTheSuitesOwnBytesAndFlops) {
    const ScratchFolder scratch;
    const ChildResult result =
        run_moegemm({"bench", suite, "--dry-run", "--provider", "cpu", "--out", scratch / "out"});
    EXPECT_EQ(result.status, 0) << result.err;
    const std::vector<Json> records = records_of(scratch / "out/records.jsonl");
    ASSERT_EQ(records.size(), 1380U);
    int int8 = 0;
    for (const Json& record : records) {
        EXPECT_EQ(record["status"], "planned");
        EXPECT_EQ(record["provider"], "cpu");
        EXPECT_TRUE(record["targets"]["latency(us)"].is_null());
        const Json& shape = record["shape"];
        const std::int64_t e = shape["E"];
        const std::int64_t m = shape["M"];
        const std::int64_t n = shape["N"];
        const std::int64_t k = shape["K"];
        const Json& arguments = record["arguments"];
        EXPECT_EQ(e, arguments["num_experts"].get<std::int64_t>() / arguments["ep_size"].get<std::int64_t>());
        EXPECT_EQ(record["targets"]["calc_flops"], 2 * m * n * k);
        if (record["variant"] != "int8") {
            continue;
        }
        // MoeQuantGroupGemmOp.prepare_args: inputs with token counts and offsets, output in bfloat16.
        ++int8;
        const std::int64_t read = m * k + 4 * m + e * n * k + 4 * e * n + 8 * e;
        EXPECT_EQ(record["targets"]["read_bytes(B)"], read);
        EXPECT_EQ(record["targets"]["write_bytes(B)"], 2 * m * n);
        EXPECT_EQ(record["targets"]["io_bytes(B)"], read + 2 * m * n);
    }
    EXPECT_EQ(int8, 276);
}

TEST(BenchDryRun, FiltersVariantsAndLimits) {
    ChildResult result = run_moegemm({"bench", suite, "--dry-run", "--filter", "num_tokens=1|64,ep_size=4", "--variant",
                                      "int8,mxfp8", "--filter", "hidden_size=4096"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(lines_of(result.out).size(), 4U) << result.out;
    result = run_moegemm({"bench", suite, "--dry-run", "--limit", "7"});
    EXPECT_EQ(lines_of(result.out).size(), 7U);
}

TEST(BenchDryRun, NeverFailsOnMemory) {
    const ScratchFolder scratch;
    const std::string file = scratch.write("w.json", R"({"moe_quant_group_gemm": [{"arg_type": "llm",
        "num_tokens": 1000, "num_experts": 4096, "topk": 8, "hidden_size": 1048576, "new_hidden_size": 1048576,
        "dtype": "bfloat16", "w_dtype": "bfloat16", "compute_dtype": "bfloat16"}]})");
    const ChildResult result = run_moegemm({"bench", file, "--dry-run"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(lines_of(result.out).size(), 1U);
}

TEST(BenchDryRun, TheQuickStartIsTheWorkloadFile) {
    const ChildResult built_in = run_moegemm({"bench", "--dry-run"});
    const ChildResult file = run_moegemm({"bench", MOEGEMM_WORKLOADS "/quick_start.json", "--dry-run"});
    EXPECT_EQ(built_in.status, 0) << built_in.err;
    EXPECT_EQ(lines_of(built_in.out).size(), 22U);
    EXPECT_EQ(built_in.out, file.out);
}

TEST(BenchDryRun, OneExpertHoldsEveryRowOfTheRooflinePoints) {
    const ScratchFolder scratch;
    const ChildResult result = run_moegemm(
        {"bench", MOEGEMM_WORKLOADS "/one_expert.json", "--dry-run", "--provider", "cpu", "--out", scratch / "out"});
    EXPECT_EQ(result.status, 0) << result.err;
    const std::vector<Json> records = records_of(scratch / "out/records.jsonl");
    ASSERT_EQ(records.size(), 11U * 4U * 6U);
    for (const Json& record : records) {
        EXPECT_EQ(record["status"], "planned") << record["reason"];
        EXPECT_EQ(record["shape"]["experts_used"], 1);
        EXPECT_EQ(record["shape"]["rows_max"], record["arguments"]["num_tokens"]);
        EXPECT_NE(record["arguments"]["routing"].get<std::string>().find("_rows.json"), std::string::npos);
    }
}

TEST(BenchDryRun, ACaseMayNameItsOwnRouting) {
    const ScratchFolder scratch;
    const auto workload = [&](const std::string& name, const std::string& routing) {
        return scratch.write(name, R"({"moe_quant_group_gemm": [{"arg_type": "llm", "num_tokens": 6, "num_experts": 4,
            "topk": 1, "hidden_size": 32, "new_hidden_size": 32, "dtype": "int8", "w_dtype": "int8",
            "routing": )" + routing + "}]}");
    };
    scratch.write("six.json", "[1, 0, 5, 0]");
    scratch.write("five.json", "[0, 0, 5, 0]");
    const auto run = [&](const std::string& file) {
        return run_moegemm({"bench", file, "--dry-run", "--provider", "cpu", "--routing", "zipf:1", "--seed", "3",
                            "--out", scratch / "out"});
    };
    // A file of counts is looked for beside the workload file, whatever the current folder; --routing is of the others.
    ChildResult result = run(workload("w.json", R"(["counts:six.json", "balanced"])"));
    EXPECT_EQ(result.status, 0) << result.err;
    std::vector<Json> records = records_of(scratch / "out/records.jsonl");
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0]["arguments"]["routing"], "counts:six.json");
    EXPECT_EQ(records[0]["arguments"]["seed"], 3);
    EXPECT_EQ(records[0]["shape"]["rows_max"], 5);
    EXPECT_TRUE(records[0]["ignored"].empty()) << records[0]["ignored"];
    EXPECT_EQ(records[1]["arguments"]["routing"], "balanced");
    EXPECT_EQ(records[1]["shape"]["rows_max"], 2);
    // A routing that does not fit is a record with its reason; one that is no text ends the run.
    result = run(workload("w.json", R"(["counts:five.json", "counts:none.json", "zipf"])"));
    EXPECT_EQ(result.status, 1) << result.err;
    records = records_of(scratch / "out/records.jsonl");
    ASSERT_EQ(records.size(), 3U);
    for (const Json& record : records) {
        EXPECT_EQ(record["status"], "error");
        EXPECT_NE(record["reason"].get<std::string>().find("routing"), std::string::npos) << record["reason"];
    }
    result = run(workload("w.json", "7"));
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.err.find("routing = "), std::string::npos) << result.err;
    // CSV has the same key.
    const std::string csv =
        scratch.write("moe_quant_group_gemm.csv",
                      "arg_type,num_tokens,num_experts,topk,hidden_size,new_hidden_size,dtype,w_dtype,"
                      "routing\nllm,6,4,1,32,32,int8,int8,counts:six.json\n");
    EXPECT_EQ(run(csv).status, 0);
    records = records_of(scratch / "out/records.jsonl");
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0]["shape"]["rows_max"], 5);
}

TEST(BenchDryRun, OtherOpsAreReported) {
    const ScratchFolder scratch;
    const std::string file =
        scratch.write("w.json", R"({"gemm": [{"M": 1}], "moe_quant_group_gemm": [{"arg_type": "llm", "num_tokens": 1,
        "num_experts": 2, "topk": 1, "hidden_size": 32, "new_hidden_size": 32, "dtype": "int8", "w_dtype": "int8"}]})");
    const ChildResult result = run_moegemm({"bench", file, "--dry-run"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_NE(result.err.find("op gemm"), std::string::npos) << result.err;
    EXPECT_EQ(lines_of(result.out).size(), 1U);
}

TEST(Bench, MeasuresVerifiesAndRecords) {
    const ScratchFolder scratch;
    const std::string file = scratch.write("w.json", small_workload);
    const ChildResult result = run_moegemm(
        with_fast({"bench", file, "--provider", "cpu", "--out", scratch / "out", "--format", "csv,xpu-perf"}));
    EXPECT_EQ(result.status, 0) << result.err << result.out;
    const std::vector<Json> records = records_of(scratch / "out/records.jsonl");
    ASSERT_EQ(records.size(), 4U);
    const std::vector<std::string> keys{"op_name",   "sku_name", "provider", "variant",     "status", "reason",
                                        "arguments", "shape",    "targets",  "measurement", "floor",  "verification"};
    for (const Json& record : records) {
        const std::vector<std::string> all = keys_of(record);
        for (const std::string& key : keys) {
            EXPECT_NE(std::find(all.begin(), all.end(), key), all.end()) << key;
        }
        EXPECT_EQ(record["op_name"], "moe_quant_group_gemm");
        EXPECT_EQ(record["status"], "ok") << record["reason"];
        EXPECT_GT(record["targets"]["latency(us)"], 0.0);
        EXPECT_GE(record["measurement"]["samples"], 1);
        EXPECT_LE(record["measurement"]["min_us"], record["measurement"]["median_us"]);
        EXPECT_EQ(record["measurement"]["cache"], "cold");
        EXPECT_GT(record["floor"]["read_us"], 0.0);
        EXPECT_GT(record["verification"]["checked"], 0);
        EXPECT_EQ(record["arguments"]["ep_size"], 1);
        EXPECT_EQ(record["arguments"]["dst_dtype"], "bfloat16");
        EXPECT_EQ(record["arguments"]["routing"], "balanced");
        EXPECT_EQ(record["arguments"]["seed"], 0);
    }
    EXPECT_EQ(Json::parse(read_file(scratch / "out/machine.json"))["providers"].count("cpu"), 1U);
    EXPECT_EQ(lines_of(read_file(scratch / "out/records.csv")).size(), 5U);
    std::size_t reports = 0;
    for (const auto& entry : fs::recursive_directory_iterator(scratch / "out")) {
        if (entry.path().filename() == "moe_quant_group_gemm-cpu.jsonl") {
            ++reports;
            EXPECT_EQ(records_of(entry.path()).size(), 4U);
            EXPECT_TRUE(fs::exists(fs::path(entry.path()).replace_extension(".csv")));
        }
    }
    EXPECT_EQ(reports, 1U);
}

TEST(Bench, JsonlGoesToStandardOutputAlone) {
    const ScratchFolder scratch;
    const std::string file = scratch.write("w.json", small_workload);
    const ChildResult result = run_moegemm(with_fast(
        {"bench", file, "--provider", "reference,cpu", "--limit", "1", "--format", "jsonl", "--verify", "full"}));
    EXPECT_EQ(result.status, 0) << result.err;
    const std::vector<std::string> lines = lines_of(result.out);
    ASSERT_EQ(lines.size(), 2U) << result.out;
    EXPECT_EQ(Json::parse(lines[0])["provider"], "reference");
    EXPECT_EQ(Json::parse(lines[1])["provider"], "cpu");
}

TEST(Bench, InexactRunsSaySo) {
    const ScratchFolder scratch;
    const std::string file = scratch.write("w.json", small_workload);
    for (const bool inexact : {false, true}) {
        std::vector<std::string> arguments{"bench", file, "--provider", "cpu", "--limit", "1", "--format", "jsonl"};
        if (inexact) {
            arguments.emplace_back("--inexact");
        }
        const ChildResult result = run_moegemm(with_fast(arguments));
        EXPECT_EQ(result.status, 0) << result.err;
        EXPECT_EQ(Json::parse(result.out)["measurement"]["inexact"], inexact) << result.out;
    }
}

TEST(Bench, ReadsCsv) {
    const ScratchFolder scratch;
    const std::string file = scratch.write(
        "w.csv",
        "task_name,arg_type,num_tokens,num_experts,topk,hidden_size,new_hidden_size,dtype,w_dtype,compute_dtype\n"
        "moe_quant_group_gemm,llm,8,4,2,64,32,bfloat16,bfloat16,bfloat16\n");
    const ChildResult result = run_moegemm(with_fast({"bench", file, "--provider", "cpu", "--format", "jsonl"}));
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(Json::parse(result.out)["variant"], "bf16");
}

TEST(Bench, APartOfTheSuiteRuns) {
    const ChildResult result =
        run_moegemm(with_fast({"bench", suite, "--variant", "int8,mxfp4_a4", "--filter",
                               "num_tokens=1,ep_size=16,hidden_size=2048", "--provider", "cpu", "--format", "jsonl"}));
    EXPECT_EQ(result.status, 0) << result.err;
    const std::vector<std::string> lines = lines_of(result.out);
    ASSERT_EQ(lines.size(), 2U) << result.out;
    for (const std::string& line : lines) {
        EXPECT_EQ(Json::parse(line)["status"], "ok") << line;
    }
}

TEST(Bench, ABadCaseIsARecordAndTheNextOneRuns) {
    const ScratchFolder scratch;
    const std::string file = scratch.write("w.json", R"({"moe_quant_group_gemm": [{"arg_type": "llm", "num_tokens": 8,
        "num_experts": 4, "topk": [5, 2], "hidden_size": 64, "new_hidden_size": 32, "dtype": "int8", "w_dtype": "int8"}]})");
    const ChildResult result = run_moegemm(with_fast({"bench", file, "--provider", "cpu", "--out", scratch / "out"}));
    EXPECT_EQ(result.status, 1) << result.err;
    const std::vector<Json> records = records_of(scratch / "out/records.jsonl");
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0]["status"], "error");
    EXPECT_NE(records[0]["reason"].get<std::string>().find("topk"), std::string::npos);
    EXPECT_EQ(records[1]["status"], "ok");
}

TEST(Bench, MoreMemoryThanThereIsIsSaidBeforeAllocating) {
    const ScratchFolder scratch;
    const std::string file = scratch.write("w.json", R"({"moe_quant_group_gemm": [{"arg_type": "llm", "num_tokens": 8,
        "num_experts": 4096, "topk": 2, "hidden_size": 65536, "new_hidden_size": 65536, "dtype": "int8",
        "w_dtype": "int8"}]})");
    const ChildResult result = run_moegemm({"bench", file, "--provider", "cpu", "--format", "jsonl"});
    EXPECT_EQ(result.status, 1) << result.err;
    const Json record = Json::parse(result.out);
    EXPECT_EQ(record["status"], "error");
    EXPECT_NE(record["reason"].get<std::string>().find("memory"), std::string::npos) << record["reason"];
}

TEST(Bench, ABadPluginDoesNotStopTheRun) {
    const ScratchFolder scratch;
    const std::string plugin = scratch.write("moegemm_text.so", "this is no library\n");
    const std::string file = scratch.write("w.json", small_workload);
    const ChildResult result = run_moegemm(
        with_fast({"bench", file, "--plugin", plugin, "--provider", "cpu", "--limit", "1", "--format", "jsonl"}));
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.err.find("moegemm_text.so"), std::string::npos) << result.err;
    EXPECT_EQ(Json::parse(result.out)["status"], "ok");
}

TEST(Bench, ADeviceThatIsNotHereIsRefusedWithTheReason) {
    for (const std::string command : {"bench", "verify"}) {
        std::vector<std::string> words{command, "--device", "cuda:4000"};
        if (command == "verify") {
            words.push_back(MOEGEMM_TEST_DATA "/vectors");
        }
        const ChildResult result = run_moegemm(words);
        EXPECT_NE(result.status, 0) << command;
        EXPECT_NE(result.err.find("device = cuda:4000"), std::string::npos) << result.err;
        EXPECT_NE(result.err.find("cpu"), std::string::npos) << result.err;
    }
}

TEST(Bench, FilesThatCannotBeUnderstood) {
    const ScratchFolder scratch;
    const std::vector<std::pair<std::string, std::string>> bad{
        {scratch.write("truncated.json", "{\"moe_quant_group_gemm\": [{\"a\": 1"), "truncated.json:1:"},
        {scratch.write("deep.json", std::string(1'000'000, '[')), "deep.json:1:65"},
        {scratch.write("encoding.json", "{\"cases\": [{\"a\": \"\xFF\xFE\"}]}"), "encoding.json:1:"},
        {scratch.write("huge.json", "[" + std::string(17U << 20U, ' ') + "]"), "huge.json"},
        {scratch.write("tuple.json", R"({"moe_quant_group_gemm": [{"num_experts.topk": [[8]]}]})"),
         "entry 0: key \"num_experts.topk\""},
        {scratch.write("columns.csv", "num_tokens\n1\n"), "task_name"},
        {scratch / "missing.json", "missing.json"},
        {scratch.path().string(), "workload file"},
    };
    for (const auto& [file, part] : bad) {
        const ChildResult result = run_moegemm({"bench", file, "--dry-run"});
        EXPECT_EQ(result.status, 2) << file << result.err;
        EXPECT_EQ(result.out, "") << file;
        EXPECT_EQ(lines_of(result.err).size(), 1U) << result.err.substr(0, 1000);
        EXPECT_NE(result.err.find(part), std::string::npos) << result.err.substr(0, 1000);
    }
}

}  // namespace
}  // namespace moegemm::test
