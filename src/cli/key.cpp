// berth key: create, ls, revoke; berth worker: ls, cordon, uncordon, token.
#include <fmt/format.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/objects.h"
#include "cli/resources.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

constexpr std::uint64_t kHourS = 3600;

Result<void> create_key(const Context& context, const Server& server, NewKey wanted) {
  TRY(const auto json, server.call("POST", "/api/v1/keys", wire::to_json(wanted)));
  TRY(const auto key, wire::from_json<NewKeyAnswer>(json, wire::Strictness::kLenient));
  context.out(key.key + "\n");
  context.err(fmt::format("key {} for {}{}; it is shown this once\n",
                          key.name,
                          join(wanted.scopes, ", "),
                          key.expires_at ? ", until " + to_rfc3339(*key.expires_at) : ""));
  return {};
}

Result<void> list(const Context& context, const Server& server, const std::string& type) {
  TRY(const auto* resource, find_resource(type));
  TRY(const auto json, server.call("GET", std::string(resource->path)));
  TRY(const auto table, resource->table(json, {.now = context.environment.now()}));
  if (table.empty()) context.err(fmt::format("no {}\n", type));
  if (!table.empty()) context.out(table.text());
  return {};
}

struct Action {
  std::string verb, name;
  std::vector<std::string> scopes;
  std::optional<std::uint32_t> hours;
  ServerFlags server;
};

/// Parses "VERB [NAME]"; the exit status when there is nothing more to do.
std::optional<int> parse(Context& context, Arguments& a, Action& action, const std::vector<std::string>& args) {
  action.server.declare(a);
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  const bool wants_name = action.verb != "ls" && action.verb != "token";
  if (wants_name && action.name.empty()) return context.misused(invalid(fmt::format("{} needs a NAME", action.verb)));
  if (action.verb == "ls" && !action.name.empty())
    return context.misused(invalid(fmt::format("unexpected argument \"{}\"", printable(action.name))));
  return std::nullopt;
}

}  // namespace

int key_command(Context& context, const std::vector<std::string>& args) {
  Action action;
  Arguments a("key",
              "Create, list and revoke API keys.",
              {"berth key create alice",
               "berth key create ci --scope management --expires-hours 24",
               "berth key revoke alice"});
  a.positional_choice("VERB", action.verb, {"create", "ls", "revoke"}, "What to do");
  a.positional("NAME", action.name, "Name of the key", false);
  a.option("--scope", action.scopes, "inference (when left out), management, operator or join; may be repeated");
  a.option("--expires-hours", action.hours, "Lifetime");
  if (const auto done = parse(context, a, action, args)) return *done;
  for (const auto& scope : action.scopes)
    if (scope != "inference" && scope != "management" && scope != "operator" && scope != "join")
      return context.misused(invalid(
          fmt::format("--scope is \"{}\", must be one of inference, management, operator, join", printable(scope))));
  const auto server = Server::find(context, action.server);
  if (!server) return context.failed(server.error());
  Result<void> done;
  if (action.verb == "ls") {
    done = list(context, *server, "keys");
  } else if (action.verb == "create") {
    NewKey wanted{.name = action.name, .scopes = action.scopes, .expires_in_s = std::nullopt};
    if (wanted.scopes.empty()) wanted.scopes = {"inference"};
    if (action.hours) wanted.expires_in_s = *action.hours * kHourS;
    done = create_key(context, *server, std::move(wanted));
  } else {
    const auto answer = server->call("DELETE", "/api/v1/keys/" + segment(action.name));
    if (!answer) return context.failed(answer.error());
    context.out(fmt::format("key/{} revoked\n", action.name));
  }
  return done ? kExitOk : context.failed(done.error());
}

int worker_command(Context& context, const std::vector<std::string>& args) {
  Action action;
  Arguments a("worker",
              "List workers, keep new instances off one, make a token to join with.",
              {"berth worker ls", "berth worker cordon gpu-01", "berth worker token > join.token"});
  a.positional_choice("VERB", action.verb, {"ls", "cordon", "uncordon", "token"}, "What to do");
  a.positional("NAME", action.name, "Name of the worker; of the key for token", false);
  a.option("--expires-hours", action.hours, "Lifetime of a token (24)");
  if (const auto done = parse(context, a, action, args)) return *done;
  const auto server = Server::find(context, action.server);
  if (!server) return context.failed(server.error());
  Result<void> done;
  if (action.verb == "ls") {
    done = list(context, *server, "workers");
  } else if (action.verb == "token") {
    constexpr std::uint32_t kTokenHours = 24;
    const std::string name =
        action.name.empty()
            ? fmt::format("join-{}",
                          std::chrono::duration_cast<std::chrono::seconds>(context.environment.now().time_since_epoch())
                              .count())
            : action.name;
    done = create_key(context,
                      *server,
                      {.name = name, .scopes = {"join"}, .expires_in_s = action.hours.value_or(kTokenHours) * kHourS});
  } else {
    const auto answer =
        server->call("POST", fmt::format("/api/v1/workers/{}/{}", segment(action.name), action.verb), "{}");
    if (!answer) return context.failed(answer.error());
    context.out(fmt::format("worker/{} {}ed\n", action.name, action.verb));
  }
  return done ? kExitOk : context.failed(done.error());
}

}  // namespace berth::cli
