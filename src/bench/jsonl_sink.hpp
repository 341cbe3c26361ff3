/// \file
/// Records as JSON, one object a line.
#pragma once

#include "bench/file.hpp"
#include "bench/sink.hpp"

namespace moegemm::bench {

/// Each record is one write: a run that is killed leaves every earlier line whole.
class JsonlSink final : public Sink {
public:
    /// \param file `OutputFile::create(DIR/records.jsonl)`, or standard output
    explicit JsonlSink(OutputFile file) : file_(std::move(file)) {}
    void write(const Record& record) override;

private:
    OutputFile file_;
};

}  // namespace moegemm::bench
