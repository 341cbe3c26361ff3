/// \file
/// Where records go.
#pragma once

#include <iosfwd>
#include <memory>

#include "bench/record.hpp"

namespace moegemm::bench {

/// Takes records as they end. The implementations: table_sink, jsonl_sink, csv_sink, xpu_perf_sink.
class Sink {
public:
    virtual ~Sink() = default;
    /// \throws Error io where the record cannot be kept
    virtual void write(const Record& record) = 0;
    /// After the last record, also of an interrupted run.
    /// \throws Error io
    virtual void finish() {}
};

}  // namespace moegemm::bench
