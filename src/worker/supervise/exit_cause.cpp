#include "worker/supervise/exit_cause.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <optional>
#include <signal.h>
#include <string.h>
#include <vector>

#include "base/text.h"

namespace berth::worker {
namespace {

struct Phrase {
  std::string_view cause;
  std::string_view text;  // lower case
};

// Rows in order of weight: an engine that ran out of memory goes on to say that it could not load the model, one whose
// flag is wrong prints its usage. Sources: messages of llama.cpp (ggml, server), vLLM, PyTorch, Python, glibc.
constexpr std::array kPhrases{
    Phrase{kOutOfMemory, "out of memory"},
    Phrase{kOutOfMemory, "outofmemoryerror"},
    Phrase{kOutOfMemory, "cannot allocate memory"},
    Phrase{kOutOfMemory, "std::bad_alloc"},
    Phrase{kOutOfMemory, "memoryerror"},
    Phrase{kOutOfMemory, "failed to allocate"},
    Phrase{kOutOfMemory, "unable to allocate"},
    Phrase{kOutOfMemory, "no available memory for the cache blocks"},
    Phrase{kOutOfMemory, "less than desired gpu memory utilization"},
    Phrase{kPortInUse, "address already in use"},
    Phrase{kPortInUse, "couldn't bind"},
    Phrase{kPortInUse, "could not bind"},
    Phrase{kConfiguration, "unrecognized argument"},
    Phrase{kConfiguration, "invalid argument:"},
    Phrase{kConfiguration, "unknown argument"},
    Phrase{kConfiguration, "error while handling argument"},
    Phrase{kConfiguration, "error: argument"},
    Phrase{kConfiguration, "invalid choice"},
    Phrase{kConfiguration, "the following arguments are required"},
    Phrase{kConfiguration, "validation error for"},
    Phrase{kConfiguration, "modulenotfounderror"},
    Phrase{kConfiguration, "error while loading shared libraries"},
    Phrase{kConfiguration, "driver version is insufficient"},
    Phrase{kModelUnreadable, "failed to load model"},
    Phrase{kModelUnreadable, "error loading model"},
    Phrase{kModelUnreadable, "unable to load model"},
    Phrase{kModelUnreadable, "failed to open gguf"},
    Phrase{kModelUnreadable, "invalid magic"},
    Phrase{kModelUnreadable, "unknown model architecture"},
    Phrase{kModelUnreadable, "safetensorerror"},
    Phrase{kModelUnreadable, "no such file or directory"},
    Phrase{kModelUnreadable, "permission denied"},
};

constexpr std::size_t kLastLines = 5;

// What debuggers and runtimes print around a crash: where, never why. Lower case.
constexpr std::array<std::string_view, 14> kNoise{
    "[new lwp",
    "[thread debugging",
    "[inferior ",
    "using host libthread_db",
    "warning:",
    "in ?? (",
    "backtrace",
    "stack trace",
    "to disable auto debuginfod",
    "this gdb supports",
    "enable debuginfod",
    "../sysdeps/",
    "core dumped",
    "could not attach",
};

struct Found {
  std::string_view cause;
  std::string line;
};

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// "#3  0x… in f ()", "38 in ../sysdeps/x.c", "38\t../sysdeps/x.c: No such file", "lib.so(+0x1f) [0x7f…]".
bool is_noise(const std::string& line) {
  const std::string lower = to_lower(line);
  if (std::any_of(kNoise.begin(), kNoise.end(), [&](auto n) { return lower.find(n) != std::string::npos; }))
    return true;
  if (line.size() > 1 && line.front() == '#' && line[1] >= '0' && line[1] <= '9') return true;
  if (lower.starts_with("0x")) return true;
  const auto gap = line.find_first_of(" \t");
  if (gap != std::string::npos && line[gap] == '\t' && all_digits(std::string_view(line).substr(0, gap))) return true;
  return lower.ends_with("]") && lower.find("[0x") != std::string::npos;
}

std::optional<Found> search(const std::vector<std::string>& lines) {
  for (const Phrase& phrase : kPhrases)
    for (const std::string& line : lines)
      if (to_lower(line).find(phrase.text) != std::string::npos) return Found{phrase.cause, line};
  return std::nullopt;
}

/// What an engine says as it aborts: the failed check, ahead of what is printed after it.
std::optional<std::string> failed_check(const std::vector<std::string>& lines) {
  constexpr std::array<std::string_view, 5> kChecks{
      "ggml_assert(", "ggml_abort", "assertion", "terminate called", "what():"};
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const std::string lower = to_lower(*line);
    if (std::any_of(kChecks.begin(), kChecks.end(), [&](auto c) { return lower.find(c) != std::string::npos; }))
      return *line;
  }
  return std::nullopt;
}

std::string last_lines(const std::vector<std::string>& lines) {
  const std::size_t from = lines.size() > kLastLines ? lines.size() - kLastLines : 0;
  std::string text;
  for (std::size_t i = from; i < lines.size(); ++i) text += (text.empty() ? "" : " | ") + lines[i];
  return text;
}

std::string shown(const std::string& text) {
  std::string out = printable(is_utf8(text) ? std::string_view(text) : std::string_view("(the log is not UTF-8)"));
  if (out.size() <= kExitMessageBytesMax) return out;
  std::size_t cut = out.size() - kExitMessageBytesMax;  // the end says more than the beginning
  while (cut < out.size() && (static_cast<unsigned char>(out[cut]) & 0xC0U) == 0x80U) ++cut;
  return "…" + out.substr(cut);
}

std::string ending(const ExitStatus& exit) {
  if (exit.signal) {
    const char* name = ::sigabbrev_np(*exit.signal);
    return fmt::format("killed by signal {}{}", *exit.signal, name == nullptr ? "" : fmt::format(" (SIG{})", name));
  }
  if (exit.status) return fmt::format("exited with status {}", *exit.status);
  return "ended while the worker was not watching";
}

std::string_view cause_of(const ExitFacts& facts, const std::optional<Found>& found) {
  // SIGKILL comes from outside: the log cannot know.
  if (facts.exit.signal == SIGKILL) return facts.kernel_oom_kill ? kOutOfMemory : kSignal;
  // A crash is a crash, whatever was read on the way to it; only want of memory is a cause of crashes.
  if (facts.exit.signal && !(found && found->cause == kOutOfMemory))
    return facts.exit.signal == SIGABRT ? kAborted : kSignal;
  if (found) return found->cause;
  return facts.exit.status ? kExit : kVanished;
}

}  // namespace

fleet::ExitInfo classify_exit(const ExitFacts& facts) {
  std::vector<std::string> lines;
  for (const std::string& line : split(facts.log_tail, '\n'))
    if (std::string text(trim(line)); !text.empty() && !is_noise(text)) {
      std::replace(text.begin(), text.end(), '\t', ' ');
      lines.push_back(std::move(text));
    }
  const auto found = search(lines);
  fleet::ExitInfo info;
  info.status = facts.exit.status;
  info.signal = facts.exit.signal;
  info.at = facts.at;
  info.cause = std::string(cause_of(facts, found));
  const auto check = info.cause == kAborted ? failed_check(lines) : std::nullopt;
  const std::string why = found && info.cause == found->cause ? found->line : check.value_or(last_lines(lines));
  info.message = why.empty() ? ending(facts.exit) : fmt::format("{}: {}", ending(facts.exit), shown(why));
  if (facts.exit.signal == SIGKILL && facts.kernel_oom_kill)
    info.message = "the kernel killed it because host memory ran out; " + info.message;
  return info;
}

bool repeats(std::string_view cause) {
  return cause == kConfiguration || cause == kModelUnreadable || cause == kAborted;
}

}  // namespace berth::worker
