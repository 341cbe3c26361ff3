/// \file
/// xpu-perf's report tree: DIR/<backend>/<device>/<op>/<provider>/<op>-<provider>.{jsonl,csv}.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "bench/sink.hpp"

namespace moegemm::bench {

/// Holds the measured records (status ok; the suite reports nothing for others) and writes the files in finish(), as
/// the suite does (core/common_utils.py, export_reports): a CSV's columns are only known at the end.
class XpuPerfSink final : public Sink {
public:
    /// \param folder  the report folder
    /// \param backend the suite's name of the backend: Device::backend(), "CPU"
    XpuPerfSink(std::filesystem::path folder, std::string backend);
    void write(const Record& record) override;
    void finish() override;

private:
    struct Target {
        std::string sku_name;
        std::string provider;
        auto operator<=>(const Target&) const = default;
    };
    std::filesystem::path folder_;
    std::string backend_;
    std::map<Target, std::vector<Record>> measured_;
};

}  // namespace moegemm::bench
