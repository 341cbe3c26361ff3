#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <moegemm/error.hpp>

#include "bench/csv_sink.hpp"
#include "bench/jsonl_sink.hpp"
#include "bench/machine.hpp"
#include "bench/table_sink.hpp"
#include "bench/xpu_perf_sink.hpp"
#include "scratch_folder.hpp"

namespace moegemm::bench {
namespace {

using Json = nlohmann::ordered_json;

Problem small_problem() {
    Arguments arguments;
    arguments.routing = {.num_tokens = 12, .num_experts = 4, .topk = 1};
    arguments.hidden_size = 64;
    arguments.new_hidden_size = 32;
    return Problem::from(arguments, Routing{});
}

Record measured_record() {
    const Problem problem = small_problem();
    Record record;
    record.sku_name = "A \"CPU\", with/a slash";
    record.provider = "some";
    record.variant = Variant::int8;
    record.status = Status::ok;
    Arguments arguments;
    arguments.routing = {.num_tokens = 12, .num_experts = 4, .topk = 1};
    arguments.hidden_size = 64;
    arguments.new_hidden_size = 32;
    arguments.scale_layout = "none";
    record.arguments = argument_pairs(arguments, Routing{});
    record.shape = shape_of(problem);
    record.targets = targets_of(problem);
    record.targets.kernels = {"one", "two"};
    set_latency(record.targets, 12.3456789);
    record.measurement.emplace();
    record.measurement->samples = 20;
    record.measurement->median_us = 12.3456789;
    record.measurement->method = "steady-clock";
    record.measurement->converged = true;
    record.floor = {3.0, 2.0, 4.1};
    record.verification = Verification{VerifyMode::sample, 384, 1e-3, 2e-3};
    return record;
}

Record failed_record() {
    Record record;
    record.sku_name = "CPU";
    record.provider = "some";
    record.status = Status::error;
    record.reason = "invalid_argument: topk = 0,\n\"bad\"";
    record.arguments = {{"topk", std::int64_t{0}}, {"note", std::string("\xFF not UTF-8")}, {"none", std::monostate{}}};
    return record;
}

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// A folder that is not there yet, and gone when the test is.
class SinkTest : public ::testing::Test {
    test::ScratchFolder scratch_;

protected:
    const std::filesystem::path folder_ = scratch_ / "out";
};

std::vector<std::string> keys_of(const Json& object) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : object.items()) {
        keys.push_back(key);
    }
    return keys;
}

using Keys = std::vector<std::string>;

void expect_every_key(const Json& json) {
    EXPECT_EQ(keys_of(json), (Keys{"op_name", "sku_name", "provider", "variant", "status", "reason", "arguments",
                                   "ignored", "shape", "targets", "measurement", "floor", "verification"}));
    EXPECT_EQ(keys_of(json["shape"]), (Keys{"E", "M", "N", "K", "rows_max", "rows_min", "experts_used"}));
    EXPECT_EQ(keys_of(json["targets"]),
              (Keys{"latency(us)", "read_bytes(B)", "write_bytes(B)", "io_bytes(B)", "mem_bw(GB/s)", "calc_flops",
                    "calc_flops_power(tflops)", "calc_mem_ratio", "kernels"}));
    EXPECT_EQ(keys_of(json["measurement"]),
              (Keys{"samples",   "min_us",  "p25_us",  "median_us", "p75_us",       "max_us",   "interval_percent",
                    "converged", "cache",   "inexact", "method",    "empty_us",     "graph_us", "host_counts",
                    "clock_mhz", "power_w", "plan_us", "pack_us",   "packed_bytes", "first_us"}));
    EXPECT_EQ(keys_of(json["floor"]), (Keys{"read_us", "compute_us", "ratio"}));
    EXPECT_EQ(keys_of(json["verification"]), (Keys{"mode", "checked", "relative_norm", "relative_max"}));
}

TEST(Record, HasEveryKeyWhateverHappened) {
    expect_every_key(to_json(measured_record()));
    const Json failed = to_json(failed_record());
    expect_every_key(failed);
    EXPECT_TRUE(failed["variant"].is_null());
    EXPECT_TRUE(failed["shape"]["E"].is_null());
    EXPECT_TRUE(failed["measurement"]["median_us"].is_null());
    EXPECT_TRUE(failed["verification"]["mode"].is_null());
}

TEST(Record, ArgumentsHaveEveryDefault) {
    const Json json = to_json(measured_record());
    EXPECT_EQ(
        keys_of(json["arguments"]),
        (Keys{"arg_type", "num_tokens", "hidden_size", "new_hidden_size", "num_experts", "topk", "ep_size", "ep_rank",
              "dtype", "w_dtype", "compute_dtype", "dst_dtype", "scale_layout", "alpha", "routing", "seed"}));
    EXPECT_EQ(json["arguments"]["dst_dtype"], "bfloat16");
    EXPECT_EQ(json["arguments"]["routing"], "balanced");
}

// The figures are the suite's own (core/op.py, BasicOp.summary), computed by Python for the same counts and latency.
TEST(Record, TargetsAreRoundedAsTheSuiteRounds) {
    const Json targets = to_json(measured_record())["targets"];
    // 12·64 + 4·12 + 4·32·64 + 4·4·32 + 8·4 = 9552 read, 2·12·32 = 768 written; 2·12·64·32 = 49152 FLOPs
    EXPECT_EQ(targets["read_bytes(B)"], 9552);
    EXPECT_EQ(targets["write_bytes(B)"], 768);
    EXPECT_EQ(targets["io_bytes(B)"], 10320);
    EXPECT_EQ(targets["calc_flops"], 49152);
    EXPECT_EQ(targets["latency(us)"].dump(), "12.346");
    EXPECT_EQ(targets["mem_bw(GB/s)"].dump(), "0.836");
    EXPECT_EQ(targets["calc_flops_power(tflops)"].dump(), "0.004");
    EXPECT_EQ(targets["calc_mem_ratio"].dump(), "4.763");
}

TEST(Record, RoundsTiesToEvenOnTheExactBinaryValue) {
    EXPECT_EQ(round3(0.0625), 0.062);  // exact tie, to even
    EXPECT_EQ(round3(0.1875), 0.188);  // exact tie, to even
    EXPECT_EQ(round3(1.0005), 1.0);    // the binary value is just below the tie
    EXPECT_EQ(round3(2.0005), 2.001);  // just above
    EXPECT_EQ(round3(123456.7894), 123456.789);
}

TEST_F(SinkTest, JsonlWritesOneLineARecordAndReplacesAnOldFile) {
    const auto path = folder_ / "deep" / "records.jsonl";
    OutputFile::create(path).write("old\n");
    JsonlSink sink(OutputFile::create(path));
    sink.write(measured_record());
    const std::string first = text_of(path);  // before finish(): nothing is held back
    EXPECT_EQ(Json::parse(first)["provider"], "some");
    sink.write(failed_record());
    sink.finish();
    std::istringstream lines(text_of(path));
    std::string line;
    std::vector<Json> records;
    while (std::getline(lines, line)) {
        records.push_back(Json::parse(line));
    }
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[1]["reason"], failed_record().reason);
    EXPECT_EQ(records[1]["arguments"]["none"], nullptr);
}

TEST_F(SinkTest, AFullDiskIsAnError) {
    for (int which = 0; which < 2; ++which) {
        try {
            if (which == 0) {
                JsonlSink(OutputFile::create("/dev/full")).write(measured_record());
            } else {
                CsvSink(OutputFile::create("/dev/full")).write(measured_record());
            }
            FAIL() << "no error";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::io);
            EXPECT_EQ(error.value(), "/dev/full");
            EXPECT_NE(error.allowed().find("No space left"), std::string::npos) << error.allowed();
        }
    }
}

TEST_F(SinkTest, AFolderThatCannotBeMadeIsAnError) {
    try {
        (void)OutputFile::create("/proc/moegemm/records.jsonl");
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::io);
    }
}

TEST_F(SinkTest, CsvHasTheSameColumnsForEveryRecord) {
    const auto path = folder_ / "records.csv";
    CsvSink sink(OutputFile::create(path));
    sink.write(failed_record());
    sink.write(measured_record());
    const std::string text = text_of(path);
    const std::string header = text.substr(0, text.find('\n'));
    EXPECT_EQ(header.substr(0, 46), "op_name,sku_name,provider,variant,status,reaso");
    EXPECT_NE(header.find(",arguments.num_tokens,"), std::string::npos);
    EXPECT_NE(header.find(",measurement.median_us,"), std::string::npos);
    EXPECT_EQ(header.find("arguments.note"), std::string::npos);
    EXPECT_NE(text.find("\"A \"\"CPU\"\", with/a slash\""), std::string::npos);
    EXPECT_NE(text.find(",one two,"), std::string::npos);
    EXPECT_NE(text.find("\"invalid_argument: topk = 0,\n\"\"bad\"\"\""), std::string::npos);
    const std::string last = text.substr(text.rfind("moe_quant_group_gemm"));
    // Of the measured record only the device's name holds a comma, in quotes.
    EXPECT_EQ(std::count(last.begin(), last.end(), ',') - 1, std::count(header.begin(), header.end(), ','));
}

TEST_F(SinkTest, XpuPerfTreeHasTheSuitesPathsAndFields) {
    XpuPerfSink sink(folder_, "CPU");
    sink.write(measured_record());
    sink.write(failed_record());
    EXPECT_FALSE(std::filesystem::exists(folder_));
    sink.finish();
    const auto stem =
        folder_ / "CPU" / "A \"CPU\", with_a slash" / "moe_quant_group_gemm" / "some" / "moe_quant_group_gemm-some";
    const std::string lines = text_of(stem.string() + ".jsonl");
    ASSERT_EQ(std::count(lines.begin(), lines.end(), '\n'), 1);
    const Json report = Json::parse(lines);
    EXPECT_EQ(keys_of(report), (Keys{"sku_name", "op_name", "provider", "arguments", "targets"}));
    EXPECT_EQ(report["targets"], to_json(measured_record())["targets"]);
    const std::string csv = text_of(stem.string() + ".csv");
    EXPECT_EQ(
        csv.substr(0, csv.find("\r\n")),
        "sku_name,op_name,provider,arg_type,num_tokens,hidden_size,new_hidden_size,num_experts,topk,ep_size,ep_rank,"
        "dtype,w_dtype,compute_dtype,dst_dtype,scale_layout,alpha,routing,seed,latency(us),read_bytes(B),write_bytes(B)"
        ","
        "io_bytes(B),mem_bw(GB/s),calc_flops,calc_flops_power(tflops),calc_mem_ratio,kernels");
    EXPECT_NE(csv.find("\r\n\"A \"\"CPU\"\", with/a slash\",moe_quant_group_gemm,some,llm,12,64,32,4,1,1,0,int8,"),
              std::string::npos)
        << csv;
    EXPECT_NE(csv.find(",12.346,9552,768,10320,0.836,49152,0.004,4.763,\"['one', 'two']\"\r\n"), std::string::npos)
        << csv;
}

TEST(TableSink, AlignsColumnsAndGivesReasonsOnOneLine) {
    std::ostringstream out;
    TableSink sink(out);
    sink.write(measured_record());
    sink.write(failed_record());
    Record planned = measured_record();
    planned.status = Status::planned;
    planned.measurement.reset();
    sink.write(planned);
    std::istringstream lines(out.str());
    std::string header;
    std::string measured;
    std::string failed;
    std::string last;
    std::getline(lines, header);
    std::getline(lines, measured);
    std::getline(lines, failed);
    std::getline(lines, last);
    EXPECT_EQ(header.find("verified"), measured.find("ok (384 values, 1.0e-03)"));
    EXPECT_EQ(header.find("x floor") + 7, measured.find("4.10") + 4);
    EXPECT_NE(failed.find("error: invalid_argument: topk = 0,"), std::string::npos) << failed;
    EXPECT_NE(last.find("0.000 GFLOP"), std::string::npos) << last;
    EXPECT_TRUE(lines.peek() == EOF);
}

TEST(TableSink, AStreamThatFailsIsAnError) {
    std::ofstream full("/dev/full");
    TableSink sink(full);
    EXPECT_THROW(sink.write(measured_record()), Error);
}

TEST_F(SinkTest, MachineFileSaysWhatTheMachineIs) {
    Machine machine = probe_machine();
    machine.providers = {{"cudnn", "9.19.0"}, {"cpu", "1"}};
    EXPECT_FALSE(machine.cpu_name.empty());
    EXPECT_GE(machine.threads_allowed, 1);
    EXPECT_GT(machine.memory_bytes, 0);
    EXPECT_GT(machine.memory_available_bytes, 0);
    EXPECT_LE(machine.memory_available_bytes, machine.memory_bytes);
    write_machine(folder_, machine);
    const Json json = Json::parse(text_of(folder_ / "machine.json"));
    EXPECT_EQ(json["cpu"], machine.cpu_name);
    EXPECT_EQ(json["moegemm_version"], machine.moegemm_version);
    EXPECT_EQ(json["providers"]["cudnn"], "9.19.0");
    EXPECT_TRUE(json["data_caches"].is_array());
}

}  // namespace
}  // namespace moegemm::bench
