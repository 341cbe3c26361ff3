#include <algorithm>
#include <iostream>

#include <fmt/format.h>

#include "bench/conformance.hpp"
#include "cli/command.hpp"
#include "cli/console.hpp"
#include "cli/interrupt.hpp"

#include <moegemm/error.hpp>

namespace moegemm::cli {
namespace {

struct Options {
    std::vector<std::string> folders;
    std::string providers;
    std::vector<std::string> plugins;
    std::string device = "cpu";
    int threads = 0;
};

using Providers = std::vector<std::shared_ptr<const Provider>>;

/// Case × provider, by how they ended.
struct Tally {
    int passed = 0;
    int failed = 0;
    int skipped = 0;
    bool malformed = false;  ///< a folder, a case or an option could not be understood
};

void verify_case(const std::filesystem::path& folder, const Providers& providers, bench::Device& device, Tally& tally) {
    std::optional<bench::ConformanceCase> item;
    try {
        item = bench::read_conformance_case(folder);
    } catch (const Error& error) {
        say(error.what());
        tally.malformed = true;
        tally.failed += static_cast<int>(providers.size());
        return;
    }
    for (const std::shared_ptr<const Provider>& provider : providers) {
        if (interrupted().load()) {
            return;
        }
        const bench::Verdict verdict = bench::check_conformance(*item, *provider, device);
        const std::string& name = provider->info().name;
        switch (verdict.outcome) {
            case bench::Verdict::Outcome::passed:
                ++tally.passed;
                std::cout << fmt::format("passed   {:<36} {:<12} relative norm {:.1e}, relative max {:.1e}\n",
                                         item->name, name, verdict.relative_norm, verdict.relative_max);
                break;
            case bench::Verdict::Outcome::failed:
                ++tally.failed;
                std::cout << fmt::format("failed   {:<36} {:<12} {}\n", item->name, name, verdict.reason);
                break;
            case bench::Verdict::Outcome::skipped:
                ++tally.skipped;
                std::cout << fmt::format("skipped  {:<36} {:<12} {}\n", item->name, name, verdict.reason);
                break;
        }
        std::cout.flush();
    }
}

void verify_folder(const std::string& folder, const Providers& providers, bench::Device& device, Tally& tally) {
    try {
        for (const std::filesystem::path& path : bench::find_conformance_cases(folder)) {
            if (interrupted().load()) {
                return;
            }
            verify_case(path, providers, device, tally);
        }
    } catch (const Error& error) {
        say(error.what());
        tally.malformed = true;
    }
}

int verify(const Options& options) {
    Tally tally;
    bool plugin_failed = false;
    try {
        const OpenRegistry open = open_registry(options.plugins);
        plugin_failed = open.failed;
        const std::unique_ptr<bench::Device> device = bench::make_device(options.device, options.threads);
        const Providers providers = options.providers.empty() ? available_providers(open.registry, device->dl())
                                                              : select_providers(open.registry, options.providers);
        for (const std::string& folder : options.folders) {
            verify_folder(folder, providers, *device, tally);
        }
    } catch (const Error& error) {
        say(error.what());
        tally.malformed = true;
    }
    std::cout << fmt::format("{} passed, {} failed, {} skipped\n", tally.passed, tally.failed, tally.skipped);
    if (tally.malformed) {
        return exit_usage;
    }
    return tally.failed > 0 || plugin_failed ? exit_failed : exit_ok;
}

}  // namespace

void add_verify(CLI::App& app, Action& action) {
    CLI::App* command =
        app.add_subcommand("verify", "Run providers on conformance cases and compare with what is expected");
    command->footer(
        "Prints a line a case and provider, then \"N passed, M failed, K skipped\".\n\n"
        "Examples:\n"
        "  moegemm verify tests/data/vectors\n"
        "  moegemm verify tests/data/vectors/mxfp4_uneven --provider cpu\n"
        "  moegemm verify cases --plugin ./moegemm_mine.so --provider mine");
    auto options = std::make_shared<Options>();
    command
        ->add_option("DIR", options->folders, "A case's folder, which holds manifest.json, or a folder of such folders")
        ->required();
    command
        ->add_option("--provider", options->providers, "Providers to run (default: every available one of the device)")
        ->type_name("NAME,...");
    command->add_option("--device", options->device, "cpu or cuda:0")->type_name("DEVICE")->capture_default_str();
    command->add_option("--threads", options->threads, "CPU threads to use (default: all that the process may run on)")
        ->check(CLI::Range(1, 1 << 16))
        ->type_name("COUNT");
    add_plugin_option(*command, options->plugins);
    command->callback([options, &action] { action = [options] { return verify(*options); }; });
}

}  // namespace moegemm::cli
