#include "cli/environment.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <unistd.h>

namespace berth::cli {
namespace {

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // the reader has gone: nothing sensible is left to say
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string read_to_end(std::size_t max) {
  std::string text;
  char buffer[16384];
  while (text.size() < max) {
    const auto n = ::read(STDIN_FILENO, buffer, std::min(sizeof buffer, max - text.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

}  // namespace

Environment system_environment() {
  Environment e;
  e.out = [](std::string_view text) { write_all(STDOUT_FILENO, text); };
  e.err = [](std::string_view text) { write_all(STDERR_FILENO, text); };
  e.variable = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
  e.read_input = read_to_end;
  e.now = [] { return SystemClock().now(); };
  e.sleep = [](Duration time) { std::this_thread::sleep_for(time); };
  e.out_is_terminal = ::isatty(STDOUT_FILENO) != 0;
  e.err_is_terminal = ::isatty(STDERR_FILENO) != 0;
  e.in_is_terminal = ::isatty(STDIN_FILENO) != 0;
  return e;
}

}  // namespace berth::cli
