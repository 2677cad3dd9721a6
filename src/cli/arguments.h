#pragma once
// Options and arguments of one command. The parser library stays inside arguments.cpp.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli {

/// Declares what a command takes, then reads it. Bound variables must outlive parse().
class Arguments {
 public:
  /// `examples`: whole command lines, shown first in the help.
  Arguments(std::string_view command, std::string_view summary, std::vector<std::string> examples = {});
  ~Arguments();
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  /// `names`: "-f,--file".
  void flag(std::string_view names, bool& into, std::string_view help);
  void option(std::string_view names, std::string& into, std::string_view help);
  void option(std::string_view names, std::optional<std::uint32_t>& into, std::string_view help);
  void option(std::string_view names, std::vector<std::string>& into, std::string_view help);
  void choice(std::string_view names, std::string& into, std::vector<std::string> allowed, std::string_view help);
  void positional(std::string_view name, std::string& into, std::string_view help, bool required = true);
  void positionals(std::string_view name, std::vector<std::string>& into, std::string_view help, bool required = true);
  void positional_choice(std::string_view name,
                         std::string& into,
                         std::vector<std::string> allowed,
                         std::string_view help);

  /// The help text when it was asked for, else nothing. Errors: kInvalid with a sentence and, where one is near, a
  /// "did you mean".
  Result<std::optional<std::string>> parse(const std::vector<std::string>& args);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::cli
