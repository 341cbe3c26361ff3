#include "bench/cuda/meters.hpp"

#include <array>

#include <dlfcn.h>

#include "bench/timing.hpp"

namespace moegemm::bench::cuda {

/// The functions of NVML's C interface (nvml.h) that are used here; every one returns 0 where it succeeded.
struct MeterReader::Nvml {
    static constexpr unsigned clock_sm = 1;  // NVML_CLOCK_SM

    void* library;
    void* device = nullptr;
    int (*shut_down)() = nullptr;
    int (*get_clock)(void* device, unsigned kind, unsigned* mhz) = nullptr;
    int (*get_power)(void* device, unsigned* milliwatts) = nullptr;
    int (*get_power_limit)(void* device, unsigned* milliwatts) = nullptr;
    int (*get_driver_version)(char* text, unsigned length) = nullptr;

    explicit Nvml(void* opened) : library(opened) {}
    ~Nvml() {
        if (shut_down != nullptr) {
            shut_down();
        }
        dlclose(library);
    }
    Nvml(const Nvml&) = delete;
    Nvml& operator=(const Nvml&) = delete;

    template <class Function>
    bool find(const char* name, Function& function) const {
        function = reinterpret_cast<Function>(dlsym(library, name));
        return function != nullptr;
    }

    bool open(const std::string& pci_bus_id) {
        int (*start)() = nullptr;
        int (*get_handle)(const char* pci_bus_id, void** device) = nullptr;
        int (*stop)() = nullptr;
        if (!find("nvmlInit_v2", start) || !find("nvmlShutdown", stop) ||
            !find("nvmlDeviceGetHandleByPciBusId_v2", get_handle) || !find("nvmlDeviceGetClockInfo", get_clock) ||
            !find("nvmlDeviceGetPowerUsage", get_power) || !find("nvmlDeviceGetEnforcedPowerLimit", get_power_limit) ||
            !find("nvmlSystemGetDriverVersion", get_driver_version) || start() != 0) {
            return false;
        }
        shut_down = stop;
        return get_handle(pci_bus_id.c_str(), &device) == 0;
    }
};

MeterReader::MeterReader(const std::string& pci_bus_id) {
    void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return;
    }
    nvml_ = new Nvml(library);
    if (!nvml_->open(pci_bus_id)) {
        delete nvml_;
        nvml_ = nullptr;
    }
}

MeterReader::~MeterReader() { delete nvml_; }

void MeterReader::read() {
    constexpr double pause = 0.01;  // power is a moving average: more often tells nothing new
    const double now = nvml_ == nullptr ? 0 : steady_seconds();
    if (nvml_ == nullptr || now - last_seconds_ < pause) {
        return;
    }
    unsigned value = 0;
    if (nvml_->get_clock(nvml_->device, Nvml::clock_sm, &value) == 0) {
        clock_sum_ += value;
        ++clocks_;
    }
    if (nvml_->get_power(nvml_->device, &value) == 0) {
        power_sum_ += value / 1e3;
        ++powers_;
    }
    last_seconds_ = steady_seconds();
}

Meters MeterReader::take() {
    Meters means;
    if (clocks_ > 0) {
        means.clock_mhz = clock_sum_ / static_cast<double>(clocks_);
    }
    if (powers_ > 0) {
        means.power_w = power_sum_ / static_cast<double>(powers_);
    }
    clock_sum_ = power_sum_ = 0;
    clocks_ = powers_ = 0;
    return means;
}

std::string MeterReader::driver_version() const {
    std::array<char, 96> text{};
    const bool told =
        nvml_ != nullptr && nvml_->get_driver_version(text.data(), static_cast<unsigned>(text.size() - 1)) == 0;
    return told ? text.data() : "";
}

std::optional<double> MeterReader::power_limit_w() const {
    unsigned milliwatts = 0;
    const bool told = nvml_ != nullptr && nvml_->get_power_limit(nvml_->device, &milliwatts) == 0;
    return told ? std::optional(milliwatts / 1e3) : std::nullopt;
}

}  // namespace moegemm::bench::cuda
