#include "cli/run_summary.hpp"

#include <algorithm>
#include <iostream>

#include <fmt/format.h>

#include "bench/machine.hpp"
#include "cli/console.hpp"

namespace moegemm::cli {

std::string describe(const bench::RunSummary& summary, std::size_t cases, const std::string& out) {
    std::string text = fmt::format("{} cases:", cases);
    const auto add = [&](std::int64_t count, std::string_view what) {
        if (count > 0) {
            text += fmt::format(" {} {},", count, what);
        }
    };
    add(summary.planned, "planned");
    add(summary.ok, "ok");
    add(summary.unsupported, "unsupported");
    add(summary.wrong, "wrong");
    add(summary.errors, "errors");
    text.pop_back();
    if (summary.interrupted) {
        text += "; interrupted";
    }
    return out.empty() ? text : text + fmt::format("; records in {}/records.jsonl", out);
}

void MeasuredFloors::write(const bench::Record& record) {
    if (!record.shape || !record.floor.read_us || record.shape->experts_used != record.shape->experts) {
        return;  // the floor read less than read_bytes
    }
    // The floor reads what the call must read: the inputs without the experts' row counts and offsets.
    const std::int64_t bytes = record.targets.read_bytes.value_or(0) - 8 * record.shape->experts;
    read_gbs_ = std::max(read_gbs_, static_cast<double>(bytes) / *record.floor.read_us / 1e3);
    if (record.floor.compute_us) {
        const auto flops = static_cast<double>(record.targets.calc_flops.value_or(0));
        compute_tflops_ = std::max(compute_tflops_, flops / *record.floor.compute_us / 1e6);
    }
}

void MeasuredFloors::print(const bench::Device& device) const {
    if (read_gbs_ == 0) {
        return;
    }
    const bench::Machine machine = bench::probe_machine();
    std::cout << fmt::format("\nmachine: {}, ", device.sku_name());
    if (device.threads() > 0) {
        std::cout << fmt::format("{} threads, {} of memory, ", device.threads(), bytes_text(machine.memory_bytes));
    }
    std::cout << fmt::format("load {:.2f}\n", machine.load_1min);
    std::cout << fmt::format("measured floors: a pure read of the same bytes at up to {:.1f} GB/s", read_gbs_);
    if (compute_tflops_ > 0) {
        std::cout << fmt::format(", dense products at up to {:.3f} TFLOP/s", compute_tflops_);
    }
    std::cout << "; \"x floor\" is the median over the larger of the two\n";
}

}  // namespace moegemm::cli
