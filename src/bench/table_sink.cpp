#include "bench/table_sink.hpp"

#include <ostream>
#include <string>

#include <fmt/format.h>

#include <moegemm/error.hpp>

#include "bench/text_file.hpp"

namespace moegemm::bench {
namespace {

constexpr const char* line_format =
    "{:<10} {:<5} {:>4} {:>7} {:>6} {:>6} {:>9}  {:<10} {:>11} {:>6} {:>8} {:>9} {:>8}  {}";
/// A reason is one line of this many bytes at most.
constexpr std::size_t reason_bytes = 300;

std::string number(std::int64_t value) { return fmt::format("{}", value); }

std::string rows_text(const Shape& shape) {
    return shape.rows_min == shape.rows_max ? number(shape.rows_max)
                                            : fmt::format("{}-{}", shape.rows_min, shape.rows_max);
}

/// Few columns: four significant digits or so, never an exponent.
std::string figure(double value) { return fmt::format("{:.{}f}", value, value < 10 ? 3 : value < 1000 ? 1 : 0); }

/// The median's interval; marked where the time was up before it came within 1 %.
std::string spread_text(const Measurement& measured) {
    const std::string percent = measured.interval_percent ? fmt::format("{:.1f}", *measured.interval_percent) : "?";
    return measured.converged ? percent : percent + "!";
}

std::string verification_text(const std::optional<Verification>& verification) {
    if (!verification || verification->mode == VerifyMode::off) {
        return "not verified";
    }
    return fmt::format("ok ({} values, {:.1e})", verification->checked, verification->relative_norm.value_or(0));
}

std::string outcome(const Record& record) {
    if (record.status == Status::planned) {
        const std::string counts = fmt::format("reads {:.1f} MB, writes {:.1f} MB, {:.3f} GFLOP",
                                               static_cast<double>(record.targets.read_bytes.value_or(0)) / 1e6,
                                               static_cast<double>(record.targets.write_bytes.value_or(0)) / 1e6,
                                               static_cast<double>(record.targets.calc_flops.value_or(0)) / 1e9);
        return record.reason.empty() ? counts : counts + "; " + printable(record.reason, reason_bytes);
    }
    return fmt::format("{}: {}", to_string(record.status), printable(record.reason, reason_bytes));
}

}  // namespace

void TableSink::write(const Record& record) {
    if (!header_written_) {
        out_ << fmt::format(line_format, "variant", "dst", "E", "M", "N", "K", "rows", "provider", "median us", "+-%",
                            "GB/s", "TFLOP/s", "x floor", "verified")
             << '\n';
        header_written_ = true;
    }
    std::string dst;
    for (const auto& [key, value] : record.arguments) {
        if (const auto* text = std::get_if<std::string>(&value); text != nullptr && key == "dst_dtype") {
            const auto type = find_dtype(*text);
            dst = type ? std::string(info(*type).name) : printable(*text, 5);
        }
    }
    const std::string variant = record.variant ? std::string(info(*record.variant).name) : "-";
    const auto size = [&](std::int64_t Shape::*field) { return record.shape ? number((*record.shape).*field) : "-"; };
    const std::string rows = record.shape ? rows_text(*record.shape) : "-";
    std::string line;
    if (record.status == Status::ok && record.measurement) {
        const Measurement& measured = *record.measurement;
        line = fmt::format(line_format, variant, dst, size(&Shape::experts), size(&Shape::rows), size(&Shape::n),
                           size(&Shape::k), rows, record.provider, figure(measured.median_us), spread_text(measured),
                           figure(record.targets.mem_bw_gbs.value_or(0)),
                           fmt::format("{:.3f}", record.targets.calc_flops_power_tflops.value_or(0)),
                           record.floor.ratio ? fmt::format("{:.2f}", *record.floor.ratio) : "-",
                           verification_text(record.verification));
    } else {
        line =
            fmt::format("{:<10} {:<5} {:>4} {:>7} {:>6} {:>6} {:>9}  {:<10} {}", variant, dst, size(&Shape::experts),
                        size(&Shape::rows), size(&Shape::n), size(&Shape::k), rows, record.provider, outcome(record));
    }
    out_ << line << std::endl;
    if (!out_) {
        throw Error(ErrorCode::io, "table", "standard output", "a stream that can be written to");
    }
}

}  // namespace moegemm::bench
