// berth get, describe, delete: one code path for all kinds of objects.
#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/objects.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/resources.h"
#include "cli/server.h"
#include "cli/views.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

struct GetFlags {
  std::string type, name, output = "table", object, deployment;
  ServerFlags server;
};

Result<void> print_list(const Context& context,
                        const Resource& resource,
                        const std::string& json,
                        const GetFlags& flags) {
  if (flags.output == "name") {
    TRY(const auto names, names_in(resource, json));
    for (const auto& name : names) context.out(fmt::format("{}/{}\n", resource.singular, name));
    return {};
  }
  TRY(const auto table, resource.table(json, {.wide = flags.output == "wide", .now = context.environment.now()}));
  if (table.empty())
    context.err(fmt::format("no {}\n", resource.name));
  else
    context.out(table.text());
  return {};
}

/// What is wrong with the command line, before any server is asked.
Result<void> check_use(const GetFlags& flags) {
  if (flags.type == "decisions" || flags.type == "decision") {
    if (flags.name.empty()) return invalid("get decisions needs the name of a deployment or the id of a decision");
    return {};
  }
  TRY(const auto* resource, find_resource(flags.type));
  if (!flags.name.empty() && !resource->has_items)
    return invalid(fmt::format("{} are only listed: leave out \"{}\"", resource->name, printable(flags.name)));
  if (!flags.object.empty() && resource->name != "events") return invalid("--object goes with events");
  if (!flags.deployment.empty() && resource->name != "instances") return invalid("--deployment goes with instances");
  return {};
}

Result<void> get(const Context& context, const GetFlags& flags) {
  TRY(const auto* resource, find_resource(flags.type));
  const bool one = !flags.name.empty();
  TRY(const auto server, Server::find(context, flags.server));
  std::string path(resource->path);
  if (one) path += "/" + segment(flags.name);
  if (!flags.object.empty()) path += "?object=" + segment(flags.object);
  if (!flags.deployment.empty()) path += "?deployment=" + segment(flags.deployment);
  TRY(const auto json, server.call("GET", path));
  if (flags.output == "json" || flags.output == "yaml") {
    TRY(const auto text, formatted(json, flags.output));
    context.out(text);
    return {};
  }
  return print_list(context, *resource, one ? as_list(json) : json, flags);
}

/// `get decisions NAME`: the decision in force of a deployment, or a stored one by its id.
Result<int> get_decision(const Context& context, const GetFlags& flags) {
  TRY(const auto server, Server::find(context, flags.server));
  auto json = server.call("GET", "/api/v1/deployments/" + segment(flags.name) + "/decision");
  const bool in_force = json.has_value();
  if (!json && json.error().code == Code::kNotFound)
    json = server.call("GET", "/api/v1/decisions/" + segment(flags.name));
  if (!json) return std::move(json).error();
  if (flags.output == "json" || flags.output == "yaml") {
    TRY(const auto text, formatted(*json, flags.output));
    context.out(text);
    return kExitOk;
  }
  TRY(const auto decision, read_decision(*json));
  std::optional<std::vector<fleet::Fix>> fixes;  // of a decision in the past: nobody can say any more
  if (in_force && decision.verdict != fleet::Verdict::kFits) {
    TRY(const auto text, server.call("GET", "/api/v1/deployments/" + segment(flags.name)));
    TRY(const auto d, wire::from_json<DeploymentView>(text, wire::Strictness::kLenient));
    fixes = fixes_now(server, d.spec.request, decision);
  }
  context.out(
      render(context.terminal, decision, fixes, Figures::of(decision.report), {.verbose = flags.output == "wide"}));
  return kExitOk;
}

Result<void> wait_gone(const Context& context, const Server& server, const std::string& path) {
  constexpr Duration kPoll{500};
  constexpr int kPollsMax = 600;  // five minutes
  for (int i = 0; i < kPollsMax; ++i) {
    const auto found = server.call("GET", path);
    if (!found && found.error().code == Code::kNotFound) return {};
    if (!found) return found.error();
    context.environment.sleep(kPoll);
  }
  return fail(Code::kTimeout, "it is still being deleted after 5 minutes; `berth describe` says what it waits for");
}

}  // namespace

std::optional<std::vector<fleet::Fix>> fixes_now(const Server& server,
                                                 const fleet::Request& request,
                                                 const fleet::Decision& decision) {
  if (decision.verdict == fleet::Verdict::kFits || decision.fit_count > 0) return std::nullopt;
  const auto body = server.call("POST", "/api/v1/decisions", wire::to_json(request));
  if (!body) return std::nullopt;
  auto answer = wire::from_json<DecisionAnswer>(*body, wire::Strictness::kLenient);
  if (!answer || answer->decision.verdict != decision.verdict) return std::nullopt;
  return std::move(answer->fixes);
}

Result<fleet::Decision> read_decision(const std::string& json) {
  TRY(auto view, wire::from_json<DecisionView>(json, wire::Strictness::kLenient));
  if (!view.decision.summary.empty()) return std::move(view.decision);
  return wire::from_json<fleet::Decision>(json, wire::Strictness::kLenient);
}

int get_command(Context& context, const std::vector<std::string>& args) {
  GetFlags flags;
  Arguments a("get",
              "List objects, or one of them.",
              {"berth get workers", "berth get instances --deployment qwen3 -o wide", "berth get decisions qwen3"});
  a.positional("TYPE", flags.type, join(resource_names(), ", ") + ", decisions");
  a.positional("NAME", flags.name, "One object", false);
  a.choice("-o,--output", flags.output, {"table", "wide", "json", "yaml", "name"}, "Form of the answer");
  a.option("--object", flags.object, "Events of one object");
  a.option("--deployment", flags.deployment, "Instances of one deployment");
  flags.server.declare(a);
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  if (const auto ok = check_use(flags); !ok) return context.misused(ok.error());
  if (flags.type == "decisions" || flags.type == "decision") {
    const auto done = get_decision(context, flags);
    return done ? *done : context.failed(done.error());
  }
  const auto done = get(context, flags);
  return done ? kExitOk : context.failed(done.error());
}

int delete_command(Context& context, const std::vector<std::string>& args) {
  std::string type, name;
  bool wait = false;
  ServerFlags flags;
  Arguments a("delete", "Delete an object.", {"berth delete deployment qwen3 --wait"});
  a.positional_choice("TYPE", type, {"deployment", "instance", "worker", "key"}, "What it is");
  a.positional("NAME", name, "Its name");
  a.flag("--wait", wait, "Return when it and everything it held is gone");
  flags.declare(a);
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  const auto server = Server::find(context, flags);
  if (!server) return context.failed(server.error());
  const std::string path = fmt::format("/api/v1/{}s/{}", type, segment(name));
  if (const auto done = server->call("DELETE", path); !done) return context.failed(done.error());
  if (wait && type != "key") {
    if (const auto gone = wait_gone(context, *server, path); !gone) return context.failed(gone.error());
    context.out(fmt::format("{}/{} deleted\n", type, name));
    return kExitOk;
  }
  context.out(fmt::format(
      "{}/{} {}\n", type, name, type == "deployment" || type == "instance" ? "is being deleted" : "deleted"));
  return kExitOk;
}

}  // namespace berth::cli
