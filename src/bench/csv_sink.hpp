/// \file
/// Records as comma-separated values, a header and one line a record (RFC 4180).
#pragma once

#include <string>
#include <vector>

#include "bench/file.hpp"
#include "bench/sink.hpp"

namespace moegemm::bench {

/// The record's JSON object made flat: nested keys are joined by a dot ("measurement.median_us"), lists by a space,
/// null is empty. The arguments' columns are the op's own, whatever a bad case held.
class CsvSink final : public Sink {
public:
    explicit CsvSink(OutputFile file) : file_(std::move(file)) {}
    void write(const Record& record) override;

private:
    OutputFile file_;
    bool header_written_ = false;
};

/// One field, quoted where it must be.
[[nodiscard]] std::string csv_field(const std::string& text);

}  // namespace moegemm::bench
