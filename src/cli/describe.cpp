// berth describe TYPE NAME: the object, its decision where it has one, and its events.
#include <fmt/format.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/objects.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/resources.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

class Description {
 public:
  Description(const Context& context, const Server& server) : context_(context), server_(server) {}

  Result<void> worker(const std::string& name) {
    TRY(const auto json, server_.call("GET", "/api/v1/workers/" + segment(name)));
    TRY(const auto w, wire::from_json<WorkerView>(json, wire::Strictness::kLenient));
    const auto& r = w.status.worker;
    row("Name", w.name);
    row("State", wire::enum_name(r.state) + (w.status.reason.empty() ? "" : ": " + printable(w.status.reason)));
    row("Connected", w.status.connected ? "yes" : "no");
    if (r.last_report_at) row("Last report", to_rfc3339(*r.last_report_at));
    if (w.spec.cordoned) row("Cordoned", "yes: no new instances");
    if (r.simulated) row("Simulated", "yes: accepts plans, starts nothing");
    row("System", fmt::format("{}/{}", r.os, r.arch));
    row("RAM",
        fmt::format("{}, {} used, {} reserved",
                    human(r.memory_total_bytes),
                    human(r.memory_used_bytes),
                    human(r.reserved_memory_bytes)));
    if (r.disk_free_bytes) row("Disk free", human(*r.disk_free_bytes));
    std::vector<std::string> labels, engines;
    auto all = w.spec.labels;  // those that people set win over those reported
    all.insert(r.labels.begin(), r.labels.end());
    for (const auto& [key, value] : all) labels.push_back(key + "=" + value);
    if (r.engines)
      for (const auto& e : *r.engines) engines.push_back(e.engine + (e.version.empty() ? "" : " " + e.version));
    row("Labels", labels.empty() ? "none" : join(labels, ", "));
    row("Engines", !r.engines ? "not told" : engines.empty() ? "none" : join(engines, ", "));
    for (const auto& d : r.devices)
      row("Device",
          fmt::format("{}: {}, {}{}{}",
                      d.id,
                      printable(d.name),
                      human(d.memory_total_bytes),
                      d.driver_version ? ", driver " + *d.driver_version : "",
                      d.unified_memory ? ", shares the RAM" : ""));
    return events(w.name);
  }

  Result<void> deployment(const std::string& name) {
    TRY(const auto json, server_.call("GET", "/api/v1/deployments/" + segment(name)));
    TRY(const auto d, wire::from_json<DeploymentView>(json, wire::Strictness::kLenient));
    const auto& r = d.spec.request;
    row("Name", d.name);
    row("Model", printable(r.model));
    row("Route", d.spec.route.empty() ? d.name : d.spec.route);
    row("Task", r.task);
    row("Replicas", fmt::format("{} ready of {}", d.status.ready_replicas, r.replicas));
    if (d.deleting) row("Deleting", "yes");
    if (!r.accept.empty()) row("Accepts", join(r.accept, ", "));
    waiting(d.status.waiting);
    TRY_VOID(events(d.id));
    const auto decision_json = server_.call("GET", "/api/v1/deployments/" + segment(name) + "/decision");
    if (!decision_json && decision_json.error().code == Code::kNotFound) return {};
    if (!decision_json) return decision_json.error();
    TRY(const auto decision, read_decision(*decision_json));
    context_.out("\n" +
                 render(context_.terminal, decision, fixes_now(server_, r, decision), Figures::of(decision.report)));
    return {};
  }

  Result<void> instance(const std::string& name) {
    TRY(const auto json, server_.call("GET", "/api/v1/instances/" + segment(name)));
    TRY(const auto i, wire::from_json<InstanceView>(json, wire::Strictness::kLenient));
    row("Name", i.name);
    row("Deployment", i.spec.deployment_name);
    row("State",
        wire::enum_name(i.status.state) + (i.status.message.empty() ? "" : ": " + printable(i.status.message)));
    waiting(i.status.waiting);
    row("Restarts", std::to_string(i.status.restarts));
    if (i.status.last_exit)
      row("Last exit",
          fmt::format("{} at {}: {}",
                      i.status.last_exit->cause,
                      to_rfc3339(i.status.last_exit->at),
                      printable(i.status.last_exit->message)));
    row("Engine", i.spec.plan.engine + (i.spec.plan.engine_version.empty() ? "" : " " + i.spec.plan.engine_version));
    for (const auto& w : i.spec.plan.workers) {
      row("Worker", w.worker_name + (w.simulated ? " (simulated)" : ""));
      for (const auto& c : w.claim.devices) row("Claim", fmt::format("{}: {}", c.device, human(c.bytes)));
      row("Claim", fmt::format("host RAM: {}", human(w.claim.memory_bytes)));
    }
    for (const auto& o : i.status.observed) row("In use", fmt::format("{}: {}", o.device, human(o.bytes)));
    for (const auto& w : i.spec.plan.warnings) row("Warning", w.rule + ": " + w.text);
    return events(i.name);
  }

 private:
  void row(std::string_view title, const std::string& value) {
    context_.out(fmt::format("{:<12} {}\n", fmt::format("{}:", title), value));
  }

  void waiting(const std::optional<fleet::Waiting>& w) {
    if (!w) return;
    std::string text = fmt::format("{} since {}", printable(w->text), to_rfc3339(w->since));
    if (w->next_at) text += fmt::format(", next {} at {}", printable(w->next), to_rfc3339(*w->next_at));
    row("Waiting", text);
  }

  Result<void> events(const std::string& object) {
    TRY(const auto json, server_.call("GET", "/api/v1/events?object=" + segment(object)));
    TRY(const auto* resource, find_resource("events"));
    TRY(const auto table, resource->table(json, {.now = context_.environment.now()}));
    if (!table.empty()) context_.out("\n" + table.text());
    return {};
  }

  const Context& context_;
  const Server& server_;
};

}  // namespace

int describe_command(Context& context, const std::vector<std::string>& args) {
  std::string type, name;
  ServerFlags flags;
  Arguments a("describe", "Show everything about one object.", {"berth describe deployment qwen3"});
  a.positional_choice("TYPE", type, {"worker", "deployment", "instance"}, "What it is");
  a.positional("NAME", name, "Its name");
  flags.declare(a);
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  const auto server = Server::find(context, flags);
  if (!server) return context.failed(server.error());
  Description description(context, *server);
  const auto done = type == "worker"       ? description.worker(name)
                    : type == "deployment" ? description.deployment(name)
                                           : description.instance(name);
  return done ? kExitOk : context.failed(done.error());
}

}  // namespace berth::cli
