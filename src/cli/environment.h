#pragma once
// Everything a command touches outside itself, so that tests can hold it: streams, environment, terminal, clock.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace berth::cli {

struct Environment {
  std::function<void(std::string_view)> out;  // results
  std::function<void(std::string_view)> err;  // progress and errors
  std::function<std::optional<std::string>(const std::string& name)> variable;
  std::function<std::string(std::size_t max)> read_input;  // stdin to its end, at most `max` bytes
  std::function<Time()> now;
  std::function<void(Duration)> sleep;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool in_is_terminal = true;
};

/// The process's own streams, environment and clock.
Environment system_environment();

}  // namespace berth::cli
