// berth logs: of one instance, or of the only or first instance of a deployment.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/objects.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

constexpr std::uint32_t kTailDefault = 100;

/// The instance of that name, else the first of the deployment of that name.
Result<std::string> instance_of(const Context& context, const Server& server, const std::string& name) {
  const auto direct = server.call("GET", "/api/v1/instances/" + segment(name));
  if (direct) return name;
  if (direct.error().code != Code::kNotFound) return direct.error();
  auto json = server.call("GET", "/api/v1/instances?deployment=" + segment(name));
  if (!json && json.error().code != Code::kNotFound) return std::move(json).error();
  Items<InstanceView> list;
  if (json) {
    TRY(list, wire::from_json<Items<InstanceView>>(*json, wire::Strictness::kLenient));
  }
  if (list.items.empty())
    return fail(Code::kNotFound,
                fmt::format("there is neither an instance \"{0}\" nor an instance of a deployment \"{0}\"", name));
  if (list.items.size() > 1)
    context.err(fmt::format("{} of {} instances: {}\n", 1, list.items.size(), list.items.front().name));
  return list.items.front().name;
}

/// A followed log has no end of its own while its instance is there.
int end_of_follow(const Context& context, const Server& server, const std::string& instance) {
  const auto found = server.call("GET", "/api/v1/instances/" + segment(instance));
  if (!found && found.error().code == Code::kNotFound) {
    context.err(fmt::format("{} is gone\n", instance));
    return kExitOk;
  }
  context.err(fmt::format("berth: the log ended because the server went away; `berth logs -f {}` follows it again{}\n",
                          instance,
                          found ? "" : " (" + found.error().message + ")"));
  return kExitError;
}

}  // namespace

int logs_command(Context& context, const std::vector<std::string>& args) {
  std::string name;
  bool follow = false;
  std::optional<std::uint32_t> tail;
  ServerFlags flags;
  Arguments a("logs", "Show the log of an instance, or of a deployment's first one.", {"berth logs -f qwen3"});
  a.positional("NAME", name, "Instance or deployment");
  a.flag("-f,--follow", follow, "Go on as more is written");
  a.option("--tail", tail, fmt::format("Lines from the end ({})", kTailDefault));
  flags.declare(a);
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  const auto server = Server::find(context, flags);
  if (!server) return context.failed(server.error());
  const auto instance = instance_of(context, *server, name);
  if (!instance) return context.failed(instance.error());
  const std::string path = fmt::format("/api/v1/instances/{}/logs?tail={}&follow={}",
                                       segment(*instance),
                                       tail.value_or(kTailDefault),
                                       follow ? "true" : "false");
  const auto done = server->stream("GET", path, "", [&](std::string_view piece) {
    context.out(piece);
    return true;
  });
  if (!done) return context.failed(done.error());
  return follow ? end_of_follow(context, *server, *instance) : kExitOk;
}

}  // namespace berth::cli
