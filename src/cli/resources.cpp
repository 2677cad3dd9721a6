#include "cli/resources.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/views.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

std::string age(Time at, const TableOptions& options) {
  if (at == Time{} || options.now < at) return "-";
  return human(std::chrono::duration_cast<Duration>(options.now - at));
}

std::string or_dash(std::string text) { return text.empty() ? "-" : text; }

template <class View>
Result<std::vector<View>> items(const std::string& json) {
  auto list = wire::from_json<Items<View>>(json, wire::Strictness::kLenient);
  if (!list) return fail(Code::kInternal, "the server's answer is not understood: " + list.error().message);
  return std::move(list->items);
}

std::string hardware(const fleet::Worker& w) {
  std::vector<std::pair<std::string, int>> kinds;
  for (const auto& d : w.devices) {
    const auto at = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == d.name; });
    if (at == kinds.end())
      kinds.emplace_back(d.name, 1);
    else
      ++at->second;
  }
  std::vector<std::string> out;
  for (const auto& [name, count] : kinds) out.push_back(fmt::format("{}x {}", count, printable(name)));
  return or_dash(join(out, ", "));
}

std::string state_text(const WorkerView& w) {
  std::string state = wire::enum_name(w.status.worker.state);
  if (w.spec.cordoned) state += ",cordoned";
  if (w.status.worker.simulated) state += ",simulated";
  return state;
}

Result<Table> workers(const std::string& json, const TableOptions& options) {
  TRY(const auto list, items<WorkerView>(json));
  std::vector<std::string> titles = {"NAME", "STATE", "OS", "ARCH", "RAM", "DEVICES"};
  if (options.wide) titles.insert(titles.end(), {"CONNECTED", "VERSION", "LABELS", "REASON"});
  titles.emplace_back("AGE");
  Table table(titles);
  for (const auto& w : list) {
    const auto& r = w.status.worker;
    std::vector<std::string> row = {w.name, state_text(w), r.os, r.arch, human(r.memory_total_bytes), hardware(r)};
    if (options.wide) {
      std::vector<std::string> labels;
      auto all = w.spec.labels;  // those that people set win over those reported
      all.insert(r.labels.begin(), r.labels.end());
      for (const auto& [key, value] : all) labels.push_back(key + "=" + value);
      row.insert(row.end(),
                 {w.status.connected ? "yes" : "no",
                  or_dash(w.status.version),
                  or_dash(join(labels, ",")),
                  or_dash(printable(w.status.reason))});
    }
    row.push_back(age(w.created_at, options));
    table.add(std::move(row));
  }
  return table;
}

Result<Table> devices(const std::string& json, const TableOptions& options) {
  TRY(const auto list, items<DeviceView>(json));
  std::vector<std::string> titles = {"NAME", "TYPE", "TOTAL", "CLAIMED", "FREE"};
  if (options.wide) titles.insert(titles.end(), {"RESERVED", "FOREIGN", "HEALTH", "DRIVER", "RUNTIME", "SIMULATED"});
  Table table(titles);
  table.align_right({2, 3, 4});
  for (const auto& d : list) {
    std::vector<std::string> row = {d.worker + "/" + d.device.id,
                                    printable(d.device.name) + (d.simulated ? " (simulated)" : ""),
                                    human(d.capacity.total),
                                    human(d.capacity.claimed),
                                    human(d.capacity.allocatable)};
    if (options.wide)
      row.insert(row.end(),
                 {human(d.capacity.reserved),
                  human(d.capacity.foreign),
                  wire::enum_name(d.device.health),
                  d.device.driver_version.value_or("-"),
                  d.device.runtime_version.value_or("-"),
                  d.simulated ? "yes" : "no"});
    table.add(std::move(row));
  }
  return table;
}

Result<Table> deployments(const std::string& json, const TableOptions& options) {
  TRY(const auto list, items<DeploymentView>(json));
  std::vector<std::string> titles = {"NAME", "READY", "VERDICT", "MODEL"};
  if (options.wide) titles.insert(titles.end(), {"TASK", "ROUTE", "SUMMARY"});
  titles.emplace_back("AGE");
  Table table(titles);
  for (const auto& d : list) {
    const auto& r = d.spec.request;
    std::vector<std::string> row = {d.name,
                                    fmt::format("{}/{}", d.status.ready_replicas, r.replicas),
                                    d.deleting         ? "deleting"
                                    : d.status.verdict ? wire::enum_name(*d.status.verdict)
                                                       : "-",
                                    or_dash(printable(r.model))};
    // No name holds a space: the sentence says it of the worker that was chosen.
    if (!d.deleting && d.status.summary.ends_with(" (simulated)")) row[2] += " (simulated)";
    if (options.wide)
      row.insert(row.end(),
                 {r.task, d.spec.route.empty() ? d.name : d.spec.route, or_dash(printable(d.status.summary))});
    row.push_back(age(d.created_at, options));
    table.add(std::move(row));
  }
  return table;
}

Result<Table> instances(const std::string& json, const TableOptions& options) {
  TRY(const auto list, items<InstanceView>(json));
  std::vector<std::string> titles = {"NAME", "STATE", "WORKER", "ENGINE", "DEVICES", "RESTARTS"};
  if (options.wide) titles.insert(titles.end(), {"DEPLOYMENT", "CLAIM", "MESSAGE"});
  titles.emplace_back("AGE");
  Table table(titles);
  for (const auto& i : list) {
    std::vector<std::string> places, used;
    Bytes claim;
    for (const auto& w : i.spec.plan.workers) {
      places.push_back(w.worker_name);
      used.insert(used.end(), w.devices.begin(), w.devices.end());
      claim += w.claim.memory_bytes;
      for (const auto& d : w.claim.devices) claim += d.bytes;
    }
    std::vector<std::string> row = {i.name,
                                    i.deleting ? "deleting" : wire::enum_name(i.status.state),
                                    or_dash(join(places, ",")),
                                    or_dash(i.spec.plan.engine),
                                    used.empty() ? "cpu" : join(used, ","),
                                    std::to_string(i.status.restarts)};
    if (options.wide)
      row.insert(row.end(), {i.spec.deployment_name, human(claim), or_dash(printable(i.status.message))});
    row.push_back(age(i.created_at, options));
    table.add(std::move(row));
  }
  return table;
}

Result<Table> keys(const std::string& json, const TableOptions& options) {
  TRY(const auto list, items<KeyView>(json));
  Table table({"NAME", "SCOPES", "PREFIX", "OWNER", "EXPIRES"});
  for (const auto& k : list)
    table.add({k.name,
               join(k.scopes, ","),
               k.prefix,
               k.owner,
               !k.expires_at ? "never"
               : *k.expires_at <= options.now
                   ? "expired"
                   : "in " + human(std::chrono::duration_cast<Duration>(*k.expires_at - options.now))});
  return table;
}

Result<Table> usage(const std::string& json, const TableOptions&) {
  TRY(const auto list, items<UsageView>(json));
  Table table({"KEY", "MODEL", "REQUESTS", "PROMPT_TOKENS", "COMPLETION_TOKENS"});
  table.align_right({2, 3, 4});
  for (const auto& u : list)
    table.add({or_dash(u.key_id),
               printable(u.model),
               std::to_string(u.requests),
               std::to_string(u.prompt_tokens),
               std::to_string(u.completion_tokens)});
  return table;
}

Result<Table> events(const std::string& json, const TableOptions& options) {
  TRY(const auto list, items<EventView>(json));
  Table table({"OBJECT", "TYPE", "REASON", "COUNT", "MESSAGE", "AGE"});
  for (const auto& e : list)
    table.add({e.object_kind + "/" + printable(e.object_name.empty() ? e.object_id : e.object_name),
               e.type,
               e.reason,
               std::to_string(e.count),
               printable(e.message),
               age(e.last_at, options)});
  return table;
}

constexpr std::array kResources = {
    Resource{"workers", "worker", "/api/v1/workers", true, workers},
    Resource{"devices", "device", "/api/v1/devices", false, devices},
    Resource{"deployments", "deployment", "/api/v1/deployments", true, deployments},
    Resource{"instances", "instance", "/api/v1/instances", true, instances},
    Resource{"keys", "key", "/api/v1/keys", false, keys},
    Resource{"usage", "usage", "/api/v1/usage", false, usage},
    Resource{"events", "event", "/api/v1/events", false, events},
};

}  // namespace

std::span<const Resource> resources() { return kResources; }

std::vector<std::string> resource_names() {
  std::vector<std::string> out;
  for (const auto& r : kResources) out.emplace_back(r.name);
  return out;
}

Result<const Resource*> find_resource(const std::string& name) {
  for (const auto& r : kResources)
    if (name == r.name || name == r.singular) return &r;
  const auto near = nearest(name, resource_names());
  return invalid(fmt::format("there is no type \"{}\", must be one of {}{}",
                             printable(name),
                             join(resource_names(), ", "),
                             near ? fmt::format("; did you mean \"{}\"?", *near) : ""));
}

Result<std::vector<std::string>> names_in(const Resource& resource, const std::string& json) {
  TRY(const auto table, resource.table(json, {}));
  return table.first_cells();
}

std::string as_list(const std::string& item_json) { return "{\"items\":[" + item_json + "]}"; }

}  // namespace berth::cli
