// berth check: the decision, offline from files or asked of the running server, with an exit status by verdict.
#include "cli/check.h"

#include <filesystem>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/explain.h"
#include "cli/inputs.h"
#include "cli/models.h"
#include "cli/output.h"
#include "cli/scenario.h"
#include "cli/server.h"
#include "engines/request.h"
#include "placement/decide.h"
#include "wire/catalog.h"
#include "wire/yaml.h"

namespace berth::cli {
namespace {

struct CheckFlags {
  std::string fleet, deployment, scenario, model, explain;
  std::vector<std::string> profiles;
  std::string output = "text", policy = "berth", language = "en";
  bool metadata_only = false, verbose = false;
  ServerFlags server;

  void declare(Arguments& a) {
    a.positional("MODEL", model, "A model of the catalog, a .gguf file or a folder, instead of --deployment", false);
    a.option("--fleet", fleet, "Fleet file; without it and --profile the running server is asked");
    a.option("-f,--deployment", deployment, "Deployment file");
    a.option("--profile", profiles, "One more worker of the fleet, from its file; may be repeated");
    a.option("--scenario", scenario, "Scenario file: decide it and compare with what it expects");
    a.option("--explain", explain, "WORKER/DEVICE: what it has, who holds it, and the answer for it alone");
    a.choice("-o,--output", output, {"text", "json", "yaml"}, "Form of the answer");
    a.choice("--policy", policy, {"berth", "gpustack"}, "Rules of the house");
    a.choice("--lang", language, {"en", "zh"}, "Language of the sentences");
    a.flag("--metadata-only", metadata_only, "Accept GGUF headers without tensor data");
    a.flag("-v,--verbose", verbose, "Every rule, every byte, and why the plan ranks first");
    server.declare(a);
  }

  [[nodiscard]] bool offline() const { return !fleet.empty() || !profiles.empty(); }

  [[nodiscard]] Result<void> validate() const {
    if (policy != "berth" && !scenario.empty())
      return invalid("a scenario is decided by berth's own rules: leave out --policy");
    if (policy != "berth" && !offline())
      return invalid("--policy gpustack answers from files: give --fleet or --profile; a server goes by its own rules");
    if (!scenario.empty() && (offline() || !deployment.empty() || !model.empty()))
      return invalid(
          "--scenario brings its own fleet and request: leave out --fleet, --profile, --deployment and MODEL");
    if (!scenario.empty() && !explain.empty()) return invalid("--explain is about one question: leave out --scenario");
    if (!deployment.empty() && !model.empty()) return invalid("give --deployment or MODEL, not both");
    if (scenario.empty() && deployment.empty() && model.empty())
      return invalid("nothing to check: give --deployment FILE, a MODEL, or --scenario FILE");
    return {};
  }

  [[nodiscard]] RenderOptions render() const {
    return {.verbose = verbose,
            .language = language == "zh" ? placement::Language::kChinese : placement::Language::kEnglish};
  }
};

Result<fleet::Request> request_of(const CheckFlags& flags) {
  if (!flags.deployment.empty()) {
    TRY(auto request, load_request(flags.deployment, flags.metadata_only));
    if (auto ok = complete_from_catalog(request); !ok) return in(flags.deployment, std::move(ok).error());
    return request;
  }
  std::error_code error;
  if (!looks_like_path(flags.model) && !std::filesystem::exists(flags.model, error))
    return request_for_name(flags.model);
  TRY(auto file, deployment_for_path(flags.model, flags.metadata_only));
  return request_from(std::move(file), {.base = "", .metadata_only = flags.metadata_only});
}

Result<Answer> ask(const Context& context, const CheckFlags& flags, const fleet::Request& request) {
  if (flags.offline()) {
    TRY(const auto file, load_fleet(flags.fleet, flags.profiles));
    TRY(const auto snapshot, wire::to_snapshot(file));
    if (flags.policy != "berth") return decide_offline(snapshot, request, fleet::gpustack_policy());
    TRY(auto answer, decide_offline(snapshot, request, {}));
    TRY(auto real, decide_offline(snapshot, request, fleet::standard_policy()));
    auto& said = real.answer.decision;
    if (said.verdict != answer.answer.decision.verdict)
      answer.answer.server_says = ServerSays{said.verdict, std::move(said.summary)};
    return answer;
  }
  TRY(const auto server, Server::find(context, flags.server));
  TRY(const auto body, server.call("POST", "/api/v1/decisions", wire::to_json(request)));
  TRY(auto answer, wire::from_json<DecisionAnswer>(body, wire::Strictness::kLenient));
  Figures figures = Figures::of(answer.decision.report);
  return Answer{std::move(answer), std::move(figures)};
}

int print(const Context& context, const CheckFlags& flags, const Answer& answer) {
  if (!answer.operator_flags.empty())
    context.err(fmt::format(
        "warning: answered as for an operator: the server takes {} only from a key with the scope operator\n",
        printable(join(answer.operator_flags, ", "))));
  const auto& d = answer.answer.decision;
  if (flags.output == "text") {
    context.out(render(context.terminal, d, answer.answer.fixes, answer.figures, flags.render()));
    if (const auto& server = answer.answer.server_says)
      context.out(
          fmt::format("\nNote: a server of this version installs no engines and starts each replica on one worker; it "
                      "would say {}: {}\n",
                      wire::enum_name(server->verdict),
                      server->summary));
    return exit_code(d);
  }
  DecisionAnswer whole = answer.answer;
  whole.reasons = reason_pages(d.report);
  const auto text = formatted(wire::to_json(whole), flags.output);
  if (!text) return context.failed(text.error());
  context.out(*text);
  return exit_code(d);
}

/// One device in full.
int explain_device(const Context& context, const CheckFlags& flags, const fleet::Request& request) {
  auto sums = [&]() -> Result<DeviceSums> {
    if (!flags.offline()) {
      TRY(const auto server, Server::find(context, flags.server));
      return sums_of(server, flags.explain);
    }
    TRY(const auto file, load_fleet(flags.fleet, flags.profiles));
    TRY(const auto snapshot, wire::to_snapshot(file));
    return sums_of(snapshot, flags.explain);
  }();
  if (!sums) return context.failed(sums.error());
  auto answer = ask(context, flags, for_device(request, sums->worker + "/" + sums->device));
  if (!answer) return context.failed(answer.error());
  if (flags.output == "text") {
    context.out(render(context.terminal, *sums, flags.render().language));
    return print(context, flags, *answer);
  }
  const int status = exit_code(answer->answer.decision);
  const ExplainedAnswer all{std::move(*sums), std::move(answer->answer.decision), std::move(answer->answer.fixes)};
  const auto text = formatted(wire::to_json(all), flags.output);
  if (!text) return context.failed(text.error());
  context.out(*text);
  return status;
}

int check_scenario(const Context& context, const CheckFlags& flags) {
  const auto result = run_scenario_file(flags.scenario);
  if (!result) return context.failed(result.error());
  if (flags.output == "text") {
    context.out(render(context.terminal,
                       result->answer.answer.decision,
                       result->answer.answer.fixes,
                       result->answer.figures,
                       flags.render()));
    context.out("\n");
  }
  for (const auto& difference : result->differences) context.err(fmt::format("differs: {}\n", difference));
  context.err(
      result->differences.empty()
          ? fmt::format("{}: as expected, {} things compared\n", flags.scenario, result->compared)
          : fmt::format("{}: {} of {} things differ\n", flags.scenario, result->differences.size(), result->compared));
  return result->differences.empty() && result->compared > 0 ? kExitOk : kExitError;
}

}  // namespace

Result<Answer> decide_offline(const fleet::FleetSnapshot& snapshot,
                              const fleet::Request& request,
                              const fleet::Policy& policy) {
  TRY(const auto catalog, wire::embedded_catalog());
  // Who has the files at hand is nobody that the server knows.
  TRY(const auto canonical, engines::canonical(catalog, request, {.name = "", .operator_right = true}));
  Answer out;
  out.operator_flags = engines::operators_only(catalog, canonical);
  out.answer.decision = placement::decide(snapshot, canonical, policy, catalog);
  out.answer.fixes = placement::fixes(snapshot, canonical, policy, catalog, out.answer.decision);
  out.figures = Figures::of(snapshot);
  return out;
}

int check_command(Context& context, const std::vector<std::string>& args) {
  CheckFlags flags;
  Arguments arguments("check",
                      "Say whether a model can run, where, with which sums, and why not elsewhere. "
                      "Exit status: 0 fits, 8 does not fit, 9 fits after releasing, 10 unknown, 11 fits in part.",
                      {"berth check --fleet fleet.yaml --deployment model.yaml",
                       "berth check qwen3-32b --fleet fleet.yaml       a model by name; `berth search` lists them",
                       "berth check ./model.gguf --profile mac.yaml",
                       "berth check --deployment model.yaml            asks the running server",
                       "berth check qwen3-32b --explain gpu-01/cuda:0  one device in full"});
  flags.declare(arguments);
  const auto help = arguments.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  if (const auto ok = flags.validate(); !ok) return context.misused(ok.error());
  if (!flags.scenario.empty()) return check_scenario(context, flags);
  const auto request = request_of(flags);
  if (!request) return context.failed(request.error());
  if (!flags.explain.empty()) return explain_device(context, flags, *request);
  const auto answer = ask(context, flags, *request);
  if (!answer) return context.failed(answer.error());
  return print(context, flags, *answer);
}

}  // namespace berth::cli
