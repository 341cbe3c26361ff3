#include <cstdlib>
#include <exception>
#include <iostream>

#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/console.hpp"
#include "cli/interrupt.hpp"

#include <moegemm/error.hpp>

namespace moegemm::cli {
namespace {

int run(int argc, char** argv) {
    CLI::App app("Grouped GEMM of mixture-of-experts layers: benchmark, conformance, providers.", "moegemm");
    app.set_version_flag("--version", fmt::format("moegemm {}", MOEGEMM_VERSION));
    app.require_subcommand(1);
    app.footer(
        "Examples:\n"
        "  moegemm bench                         all variants at two sizes, in a minute or two\n"
        "  moegemm bench FILE.json --dry-run     what a workload file holds\n"
        "  moegemm verify tests/data/vectors     every provider on the conformance cases\n"
        "  moegemm COMMAND --help                options and examples of a command\n"
        "\n"
        "Exit status: 0 all well, 1 a case failed or an output was wrong, 2 the command line or a file could not be\n"
        "understood. Results go to standard output, everything else to standard error.");
    Action action;
    add_bench(app, action);
    add_verify(app, action);
    add_providers(app, action);
    add_variants(app, action);
    add_explain(app, action);
    add_doctor(app, action);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& help_or_version) {
        app.exit(help_or_version, std::cout, std::cerr);
        flush_results();
        return exit_ok;
    } catch (const CLI::ParseError& error) {
        const std::vector<CLI::App*> chosen = app.get_subcommands();
        const std::string command = chosen.empty() ? "moegemm" : "moegemm " + chosen.front()->get_name();
        say(fmt::format("{}: {} --help lists what there is", error.what(), command));
        return exit_usage;
    }
    watch_signals();
    const int status = action();
    flush_results();
    return interrupted().load() ? interrupt_status() : status;
}

}  // namespace
}  // namespace moegemm::cli

int main(int argc, char** argv) {
    using namespace moegemm;
    // In a container without /sys, hwloc would print its complaint among our messages.
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    try {
        return cli::run(argc, argv);
    } catch (const Error& error) {
        cli::say(error.what());
        const bool ours = error.code() == ErrorCode::internal || error.code() == ErrorCode::out_of_memory ||
                          error.argument() == "standard output";
        return ours ? cli::exit_failed : cli::exit_usage;
    } catch (const std::exception& error) {
        cli::say(error.what());
        return cli::exit_failed;
    }
}
