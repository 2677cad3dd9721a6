#pragma once
// The table of commands. Those that are clients or work offline are listed here; those that hold a server, a worker or
// a store are added by app before run().

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/environment.h"
#include "cli/terminal.h"

namespace berth::cli {

struct Context {
  Environment& environment;
  Terminal terminal;

  void out(std::string_view text) const { environment.out(text); }
  void err(std::string_view text) const { environment.err(text); }
  /// Prints "berth: message" to stderr and returns the exit status of the code.
  [[nodiscard]] int failed(const Error& error) const;
  /// As above, for what is wrong with the command line: 2.
  [[nodiscard]] int misused(const Error& error) const;
};

struct Command {
  std::string name;     // "check"; two words for a command below another: "worker run"
  std::string summary;  // one line
  std::function<int(Context&, const std::vector<std::string>& args)> run;
};

/// Commands by name; a later one replaces an earlier one of the same name.
class CommandTable {
 public:
  void register_command(Command command);
  [[nodiscard]] const std::vector<Command>& commands() const { return commands_; }
  /// The command that `args` begins with, the longest name first, and how many words that is.
  [[nodiscard]] const Command* find(const std::vector<std::string>& args, std::size_t& words) const;

 private:
  std::vector<Command> commands_;
};

/// check, search, get, describe, delete, logs, key, worker ls|cordon|uncordon, run, deploy, conformance, version.
CommandTable standard_commands();

/// Runs one command line; the exit status. `argv[0]` is the program. Catches everything.
int run(int argc, const char* const* argv, Environment& environment, const CommandTable& table);

int check_command(Context& context, const std::vector<std::string>& args);
int search_command(Context& context, const std::vector<std::string>& args);
int get_command(Context& context, const std::vector<std::string>& args);
int describe_command(Context& context, const std::vector<std::string>& args);
int delete_command(Context& context, const std::vector<std::string>& args);
int logs_command(Context& context, const std::vector<std::string>& args);
int key_command(Context& context, const std::vector<std::string>& args);
int worker_command(Context& context, const std::vector<std::string>& args);
int run_command(Context& context, const std::vector<std::string>& args);
int deploy_command(Context& context, const std::vector<std::string>& args);
int conformance_command(Context& context, const std::vector<std::string>& args);
int bench_decide_command(Context& context, const std::vector<std::string>& args);
int version_command(Context& context, const std::vector<std::string>& args);

}  // namespace berth::cli
