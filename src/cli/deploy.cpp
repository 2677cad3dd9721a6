// berth deploy -f FILE: create or update; --dry-run asks what the scheduler would do and stores nothing.
#include <filesystem>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/inputs.h"
#include "cli/objects.h"
#include "cli/render.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

Result<NewDeployment> read_deployment(const std::string& path) {
  TRY(const auto text, read_text_file(path));
  auto file = wire::read_deployment_file(text);
  if (!file) return in(path, std::move(file).error());
  if (!is_name(file->name))
    return invalid(
        fmt::format("{}: name is \"{}\", must be 1 to 63 of a-z, 0-9, '-', '.', '_'", path, printable(file->name)));
  NewDeployment out{.name = file->name, .spec = {.request = {}, .route = file->route}};
  auto request =
      request_from(std::move(*file), {.base = std::filesystem::path(path).parent_path(), .metadata_only = false});
  if (!request) return in(path, std::move(request).error());
  out.spec.request = std::move(*request);
  return out;
}

Result<int> dry_run(const Context& context, const Server& server, const NewDeployment& wanted) {
  TRY(const auto json, server.call("POST", "/api/v1/deployments?dry_run=true", wire::to_json(wanted)));
  TRY(const auto decision, read_decision(json));
  context.out(render(context.terminal, decision, {}, Figures::of(decision.report)));
  return exit_code(decision);
}

}  // namespace

Result<Applied> apply_deployment(const Server& server, const NewDeployment& wanted) {
  const std::string path = "/api/v1/deployments/" + segment(wanted.name);
  const auto present = server.call("GET", path);
  if (!present && present.error().code != Code::kNotFound) return present.error();
  if (present) {
    TRY_VOID(server.call("PUT", path, wire::to_json(EditDeployment{wanted.spec})));
    return Applied{.created = false};
  }
  TRY_VOID(server.call("POST", "/api/v1/deployments", wire::to_json(wanted)));
  return Applied{.created = true};
}

int deploy_command(Context& context, const std::vector<std::string>& args) {
  std::string path;
  bool dry = false;
  ServerFlags flags;
  Arguments a("deploy",
              "Create a deployment from a file, or update the one of that name.",
              {"berth deploy -f model.yaml --dry-run"});
  a.option("-f,--file", path, "Deployment file");
  a.flag("--dry-run", dry, "Only say what the scheduler would do; exits by verdict as check does");
  flags.declare(a);
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  if (path.empty()) return context.misused(invalid("-f FILE is missing; see `berth deploy --help`"));
  const auto wanted = read_deployment(path);
  if (!wanted) return context.failed(wanted.error());
  const auto server = Server::find(context, flags);
  if (!server) return context.failed(server.error());
  if (dry) {
    const auto status = dry_run(context, *server, *wanted);
    return status ? *status : context.failed(status.error());
  }
  const auto applied = apply_deployment(*server, *wanted);
  if (!applied) return context.failed(applied.error());
  context.out(fmt::format("deployment/{} {}\n", wanted->name, applied->created ? "created" : "updated"));
  return kExitOk;
}

}  // namespace berth::cli
