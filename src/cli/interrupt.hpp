/// \file
/// SIGINT and SIGTERM end a run after the record in hand; a second one ends the process at once.
#pragma once

#include <atomic>

namespace moegemm::cli {

void watch_signals();

/// True after a signal.
[[nodiscard]] const std::atomic<bool>& interrupted() noexcept;

/// The exit status of a process that a signal interrupted: 130 for SIGINT, 143 for SIGTERM.
[[nodiscard]] int interrupt_status() noexcept;

}  // namespace moegemm::cli
