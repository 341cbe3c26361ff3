#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>
#include <moegemm/provider.hpp>

#include "provider/plugin_library.hpp"

namespace moegemm {
namespace {

/// A provider that the project has a name for.
struct KnownProvider {
    std::string_view name;
    std::string_view description;
    std::string_view library;  ///< the plug-in library that it comes in; empty for one that comes in none of ours
    std::string_view reason;   ///< why it is not here where no library offers it
    std::string_view remedy;   ///< the command or step that would change that
    std::string_view needs;    ///< the same where it is here, but cannot work on this machine
};

constexpr std::string_view built_in_reason = "built in, but not added to this registry";
constexpr std::string_view built_in_remedy = "Registry::with_builtin()";
constexpr std::string_view cuda_library = "moegemm_cuda.so";
constexpr std::string_view cuda_reason =
    MOEGEMM_HAS_CUDA ? "its plug-in library moegemm_cuda.so, which this build makes, is not here"
                     : "not built: " MOEGEMM_CUDA_REASON;
constexpr std::string_view cuda_remedy = "./dev cuda";
constexpr std::string_view flashinfer_library = "moegemm_flashinfer.so";
constexpr std::string_view flashinfer_reason =
    MOEGEMM_HAS_FLASHINFER ? "its plug-in library moegemm_flashinfer.so, which this build makes, is not here"
                           : "not built: " MOEGEMM_FLASHINFER_REASON;
constexpr std::string_view flashinfer_needs =
    "moegemm doctor shows what this machine has; FlashInfer's modules: MOEGEMM_FLASHINFER_PATH=FOLDER; cuDNN, which it "
    "takes for bf16 and fp8 from 9.21 on: ./dev cudnn";
constexpr std::string_view doctor = "moegemm doctor shows what this machine has";
constexpr std::string_view onednn_remedy = "./dev onednn, or MOEGEMM_ONEDNN=FILE";
constexpr std::string_view cudnn_reason = MOEGEMM_HAS_CUDNN ? cuda_reason : "not built: " MOEGEMM_CUDNN_REASON;
constexpr std::string_view cudnn_remedy = MOEGEMM_HAS_CUDNN ? cuda_remedy : "./dev cudnn";
constexpr std::string_view cudnn_needs =
    "moegemm doctor shows what this machine has; cuDNN: ./dev cudnn, or pip install nvidia-cudnn-cu13";
constexpr std::string_view cublas_needs =
    "moegemm doctor shows what this machine has; cuBLAS: CUDA's toolkit, or pip install nvidia-cublas";

constexpr std::array<KnownProvider, 8> known_providers{{
    {"reference", "float64 on one CPU thread: what every result is held against", "", built_in_reason, built_in_remedy,
     doctor},
    {"cpu", "SIMD kernels for CPUs, multi-threaded", "", built_in_reason, built_in_remedy, doctor},
    {"cuda", "kernels for NVIDIA GPUs from compute capability 8.0", cuda_library, cuda_reason, cuda_remedy, doctor},
    {"hopper", "kernels for NVIDIA Hopper GPUs (wgmma, TMA)", cuda_library, cuda_reason, cuda_remedy, doctor},
    {"flashinfer", "FlashInfer's grouped GEMMs, called for comparison", flashinfer_library, flashinfer_reason,
     cuda_remedy, flashinfer_needs},
    {"cudnn", "cuDNN's MoE grouped matmul, called for comparison", cuda_library, cudnn_reason, cudnn_remedy,
     cudnn_needs},
    {"cublas", "cuBLAS's grouped batched product, called for comparison", cuda_library, cuda_reason, cuda_remedy,
     cublas_needs},
    {"onednn", "oneDNN, one matmul an expert, called for comparison", "", built_in_reason, built_in_remedy,
     onednn_remedy},
}};

bool loaded_from(const std::string& source, const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::equivalent(source, path, ignored);
}

}  // namespace

void Registry::add(std::shared_ptr<const Provider> provider, std::string source) {
    const std::string& name = provider->info().name;
    for (const Entry& entry : entries_) {
        if (entry.provider->info().name == name) {
            throw Error(ErrorCode::invalid_argument, "provider", name,
                        fmt::format("another name: {} has this one", entry.source));
        }
    }
    entries_.push_back({std::move(provider), std::move(source)});
}

void Registry::load_plugin(const std::filesystem::path& path) {
    try {
        Registry grown = *this;  // all of the library's providers are added, or none
        for (std::shared_ptr<const Provider>& provider : load_plugin_library(path)) {
            try {
                grown.add(std::move(provider), path.string());
            } catch (const Error& error) {
                throw Error(ErrorCode::plugin, "plugin", path.string(),
                            fmt::format("a library whose providers have names of their own ({})", error.what()));
            }
        }
        *this = std::move(grown);
    } catch (const Error& error) {
        refused_.push_back({path.filename().string(), error.what()});
        throw;
    }
}

std::vector<std::string> Registry::load_plugins(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> libraries;
    std::error_code error;
    for (std::filesystem::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
        const std::string name = file->path().filename().string();
        if (name.starts_with("moegemm_") && name.ends_with(".so")) {
            libraries.push_back(file->path());
        }
    }
    std::vector<std::string> errors;
    if (error && error != std::errc::no_such_file_or_directory) {
        errors.emplace_back(Error(ErrorCode::plugin, "plugin", folder.string(),
                                  fmt::format("a folder that can be read ({})", error.message()))
                                .what());
    }
    std::sort(libraries.begin(), libraries.end());
    for (const std::filesystem::path& library : libraries) {
        // The same file may be reached twice, by the user's path and a default one.
        if (std::any_of(entries_.begin(), entries_.end(),
                        [&](const Entry& entry) { return loaded_from(entry.source, library); })) {
            continue;
        }
        try {
            load_plugin(library);
        } catch (const Error& failure) {
            errors.emplace_back(failure.what());
        }
    }
    return errors;
}

std::shared_ptr<const Provider> Registry::find(std::string_view name) const {
    std::vector<std::string_view> names;
    for (const Entry& entry : entries_) {
        if (entry.provider->info().name == name) {
            return entry.provider;
        }
        names.push_back(entry.provider->info().name);
    }
    throw Error(ErrorCode::invalid_argument, "provider", std::string(name),
                names.empty() ? "none: no provider is loaded" : fmt::format("one of {}", fmt::join(names, ", ")));
}

std::vector<std::shared_ptr<const Provider>> Registry::providers() const {
    std::vector<std::shared_ptr<const Provider>> all;
    all.reserve(entries_.size());
    for (const Entry& entry : entries_) {
        all.push_back(entry.provider);
    }
    return all;
}

std::vector<ProviderStatus> Registry::status() const {
    std::vector<ProviderStatus> all;
    for (const KnownProvider& known : known_providers) {
        const auto refused = std::find_if(refused_.begin(), refused_.end(), [&](const Refused& library) {
            return !known.library.empty() && library.file == known.library;
        });
        all.push_back({std::string(known.name), std::string(known.description), false,
                       refused == refused_.end() ? std::string(known.reason)
                                                 : fmt::format("its library was refused: {}", refused->reason),
                       std::string(known.remedy), ""});
    }
    for (const Entry& entry : entries_) {
        const ProviderInfo& about = entry.provider->info();
        const auto known =
            std::find_if(all.begin(), all.end(), [&](const ProviderStatus& row) { return row.name == about.name; });
        ProviderStatus& row = known == all.end() ? all.emplace_back() : *known;
        row = {about.name, about.description, about.unavailable.empty(), about.unavailable, "", entry.source};
        if (!row.available) {
            const auto* mine = std::find_if(known_providers.begin(), known_providers.end(),
                                            [&](const KnownProvider& provider) { return provider.name == row.name; });
            row.remedy = mine == known_providers.end() ? doctor : mine->needs;
        }
    }
    return all;
}

}  // namespace moegemm
