#include "cli/interrupt.hpp"

#include <csignal>

namespace moegemm::cli {
namespace {

std::atomic<bool> signal_came{false};
std::atomic<int> signal_number{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "a signal handler may use them");

extern "C" void on_signal(int number) {
    signal_number.store(number);
    signal_came.store(true);
}

}  // namespace

void watch_signals() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    // The handler serves once: with the default action back in place, the next signal ends the process.
    action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

const std::atomic<bool>& interrupted() noexcept { return signal_came; }

int interrupt_status() noexcept { return 128 + signal_number.load(); }

}  // namespace moegemm::cli
