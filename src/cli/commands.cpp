#include "cli/commands.h"

#include <algorithm>
#include <exception>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/exit_codes.h"

namespace berth::cli {
namespace {

bool asks_for_help(const std::string& word) { return word == "help" || word == "--help" || word == "-h"; }

std::string overview(const CommandTable& table) {
  std::string text =
      "berth finds every model a berth: it says where a model can run, puts it there and serves it.\n\n"
      "Usage: berth COMMAND [ARGUMENTS]\n\n"
      "Examples:\n"
      "  berth check --fleet fleet.yaml --deployment model.yaml   where can this model run, and why not elsewhere\n"
      "  berth run ./model.gguf \"Hello\"                           serve a model and ask it something\n\n"
      "Commands:\n";
  std::size_t widest = 0;
  for (const auto& c : table.commands()) widest = std::max(widest, c.name.size());
  for (const auto& c : table.commands()) text += fmt::format("  {:<{}}  {}\n", c.name, widest, c.summary);
  return text + "\nMore about one: berth COMMAND --help\n";
}

int unknown_command(const Context& context, const CommandTable& table, const std::string& word) {
  std::vector<std::string> names;
  for (const auto& c : table.commands()) names.push_back(c.name);
  if (word.starts_with("-"))
    return context.misused(invalid(fmt::format("unknown flag \"{}\" before the command", printable(word))));
  const auto near = nearest(word, names);
  return context.misused(
      invalid(near ? fmt::format("unknown command \"{}\"; did you mean \"{}\"?", printable(word), *near)
                   : fmt::format("unknown command \"{}\"; see `berth help`", printable(word))));
}

int dispatch(Context& context, const CommandTable& table, std::vector<std::string> args) {
  if (args.empty()) {
    context.err(overview(table));
    return kExitUsage;
  }
  if (args.front() == "help" && args.size() > 1) {
    args.erase(args.begin());
    args.emplace_back("--help");
  }
  if (asks_for_help(args.front())) {
    context.out(overview(table));
    return kExitOk;
  }
  if (args.front() == "--version") args.front() = "version";
  std::size_t words = 0;
  const auto* command = table.find(args, words);
  if (command == nullptr) return unknown_command(context, table, args.front());
  args.erase(args.begin(), args.begin() + static_cast<std::ptrdiff_t>(words));
  return command->run(context, args);
}

constexpr std::size_t kValueBytesMax = 300;  // longer than any path that people give …
constexpr std::size_t kValueShownBytes = 60;
constexpr std::size_t kMessageBytesMax = 8192;  // problems of a file come many to a message

/// Cut at a character, so that it stays UTF-8.
std::string_view cut_at(std::string_view text, std::size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) --size;
  return text.substr(0, size);
}

/// A message with its long values cut: a file of megabytes in the wrong place must not scroll the reason away.
std::string shortened(std::string_view message) {
  std::string out;
  while (!message.empty()) {
    // A value stands in quotes, or is a word.
    const auto close = message.front() == '"' ? message.find('"', 1) : std::string_view::npos;
    auto end = close != std::string_view::npos ? close + 1 : message.find_first_of(" \n\"", 1);
    if (end == std::string_view::npos) end = message.size();
    const auto piece = message.substr(0, end);
    if (piece.size() > kValueBytesMax)
      out += fmt::format(
          "{}…{} ({} bytes)", cut_at(piece, kValueShownBytes), piece.back() == '"' ? "\"" : "", piece.size());
    else
      out += piece;
    message.remove_prefix(end);
  }
  if (out.size() <= kMessageBytesMax) return out;
  return std::string(cut_at(out, kMessageBytesMax)) + "…";
}

}  // namespace

int Context::failed(const Error& error) const {
  err(fmt::format("berth: {}\n", shortened(error.message)));
  return exit_code(error.code);
}

int Context::misused(const Error& error) const {
  err(fmt::format("berth: {}\n", shortened(error.message)));
  return kExitUsage;
}

void CommandTable::register_command(Command command) {
  const auto at =
      std::find_if(commands_.begin(), commands_.end(), [&](const Command& c) { return c.name == command.name; });
  if (at != commands_.end())
    *at = std::move(command);
  else
    commands_.push_back(std::move(command));
}

const Command* CommandTable::find(const std::vector<std::string>& args, std::size_t& words) const {
  const Command* best = nullptr;
  words = 0;
  for (const auto& command : commands_) {
    const auto name = split(command.name, ' ');
    if (name.size() <= words || name.size() > args.size() || !std::equal(name.begin(), name.end(), args.begin()))
      continue;
    best = &command;
    words = name.size();
  }
  return best;
}

CommandTable standard_commands() {
  CommandTable table;
  table.register_command({"check", "Say whether a model can run, where and why not elsewhere", check_command});
  table.register_command(
      {"search", "List models of the catalog: what they need, and in which files they come", search_command});
  table.register_command({"run", "Serve a model and, with a prompt, ask it", run_command});
  table.register_command({"deploy", "Create or update a deployment from a file", deploy_command});
  table.register_command({"get", "List workers, devices, deployments, instances, keys, usage, events", get_command});
  table.register_command({"describe", "Show everything about one object", describe_command});
  table.register_command({"logs", "Show the log of an instance", logs_command});
  table.register_command({"delete", "Delete a deployment, an instance, a worker or a key", delete_command});
  table.register_command({"worker", "ls, cordon, uncordon, token", worker_command});
  table.register_command({"key", "create, ls, revoke", key_command});
  table.register_command({"conformance", "Run recorded scheduling cases and compare", conformance_command});
  table.register_command({"bench decide", "Measure what decisions cost on a made-up fleet", bench_decide_command});
  table.register_command({"version", "Show the version", version_command});
  return table;
}

int run(int argc, const char* const* argv, Environment& environment, const CommandTable& table) {
  Context context{environment, Terminal::of(environment)};
  try {
    std::vector<std::string> args;
    for (int i = 1; i < argc; ++i) args.emplace_back(argv[i]);
    return dispatch(context, table, std::move(args));
  } catch (const std::exception& e) {
    context.err(fmt::format("berth: internal error: {}\n", printable(e.what())));
    return kExitError;
  }
}

}  // namespace berth::cli
