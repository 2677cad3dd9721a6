#pragma once
// Why an engine ended: exit status and the last lines of its log, by a table of phrases.

#include <string>
#include <string_view>

#include "base/time.h"
#include "fleet/objects.h"
#include "worker/supervise/process.h"

namespace berth::worker {

/// Causes beyond those of the log: "refused" (checks before the start), "not_ready" (deadline), "signal", "exit".
constexpr std::string_view kOutOfMemory = "out_of_memory";
constexpr std::string_view kPortInUse = "port_in_use";
constexpr std::string_view kModelUnreadable = "model_unreadable";
constexpr std::string_view kConfiguration = "configuration";
constexpr std::string_view kRefused = fleet::kExitRefused;
constexpr std::string_view kNotReady = "not_ready";
constexpr std::string_view kUnanswered = "unanswered";  // it was ready and answers no more
constexpr std::string_view kSignal = "signal";
constexpr std::string_view kAborted = "aborted";  // SIGABRT: a check of the engine's own failed
constexpr std::string_view kExit = "exit";
constexpr std::string_view kVanished = "vanished";  // ended while no agent was there to see the status

constexpr std::size_t kExitLogLines = 60;
constexpr std::size_t kExitMessageBytesMax = 2048;

struct ExitFacts {
  ExitStatus exit;
  std::string log_tail;          // last kExitLogLines lines
  bool kernel_oom_kill = false;  // the kernel's count of such kills rose while it ran
  Time at{};
};

/// `message` holds the line that decided, or the last lines; control characters escaped.
fleet::ExitInfo classify_exit(const ExitFacts& facts);

/// The same program with the same input will end the same way: configuration, model errors, failed checks.
bool repeats(std::string_view cause);

}  // namespace berth::worker
