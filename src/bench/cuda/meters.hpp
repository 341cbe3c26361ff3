/// \file
/// Clock and power of a GPU, by NVIDIA's management library (NVML), where it is installed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bench/device.hpp"

namespace moegemm::bench::cuda {

/// Reads the meters while calls are timed, and averages.
class MeterReader {
public:
    explicit MeterReader(const std::string& pci_bus_id);
    ~MeterReader();
    MeterReader(const MeterReader&) = delete;
    MeterReader& operator=(const MeterReader&) = delete;

    /// Reads them, where the last time was some milliseconds ago: to be called while the GPU works.
    void read();
    /// Means since the last call of this; absent where nothing was read.
    [[nodiscard]] Meters take();

    [[nodiscard]] std::string driver_version() const;  ///< "580.159.04"; empty where it is not told
    [[nodiscard]] std::optional<double> power_limit_w() const;

private:
    struct Nvml;
    Nvml* nvml_ = nullptr;  ///< null where there is none
    double last_seconds_ = 0;
    double clock_sum_ = 0;
    double power_sum_ = 0;
    std::int64_t clocks_ = 0;
    std::int64_t powers_ = 0;
};

}  // namespace moegemm::bench::cuda
