/// \file
/// Records as a table for people.
#pragma once

#include <iosfwd>

#include "bench/sink.hpp"

namespace moegemm::bench {

/// Aligned columns, one line a record, as it ends: variant, sizes, provider, median, spread, rates, the multiple of the
/// floor, verification. A record without a time is its sizes and its reason.
class TableSink final : public Sink {
public:
    /// \param out must outlive the sink
    explicit TableSink(std::ostream& out) : out_(out) {}
    void write(const Record& record) override;

private:
    std::ostream& out_;
    bool header_written_ = false;
};

}  // namespace moegemm::bench
