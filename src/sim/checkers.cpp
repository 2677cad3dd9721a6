#include "sim/checkers.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "wire/json.h"

namespace berth::sim {
namespace {

using fleet::InstanceState;

const FakeWorker* worker_by_id(const std::vector<FakeWorker>& workers, const std::string& id) {
  for (const auto& w : workers)
    if (w.id == id) return &w;
  return nullptr;
}

std::optional<Bytes> capacity_of(const FakeWorker& worker, const std::string& device) {
  const auto& hardware = worker.hardware();
  if (device.empty()) return hardware.memory_total_bytes.minus_or_zero(hardware.reserved_memory_bytes);
  for (const auto& d : hardware.devices)
    if (d.id == device) return d.memory_total_bytes.minus_or_zero(hardware.reserved_device_memory_bytes);
  return std::nullopt;
}

}  // namespace

Violation CapacityChecker::check(store::Store& store, const std::vector<FakeWorker>& workers) {
  const auto claims = store.list_claims({});
  if (!claims) return "claims cannot be read: " + claims.error().message;
  std::map<std::pair<std::string, std::string>, Bytes> sums;
  for (const auto& c : *claims) sums[{c.worker, c.device}] += c.bytes;
  for (const auto& [where, sum] : sums) {
    const auto* worker = worker_by_id(workers, where.first);
    const auto capacity = worker == nullptr ? std::nullopt : capacity_of(*worker, where.second);
    if (!capacity) return fmt::format("claims on {}/{}, which does not exist", where.first, where.second);
    if (sum > *capacity)
      return fmt::format("claims on {}/{} are {}, it has {}", worker->name(), where.second, sum.value, capacity->value);
  }
  return std::nullopt;
}

Violation OnePlaceChecker::check(store::Store& store,
                                 const reconcile::View& view,
                                 const std::vector<FakeWorker>& workers) {
  std::map<std::string, std::string> runs_on;
  for (const auto& w : workers)
    for (const auto& [id, engine] : w.engines()) {
      if (engine.gone) continue;
      const auto [at, fresh] = runs_on.emplace(id, w.id);
      if (!fresh) return fmt::format("instance {} runs on {} and on {}", id, at->second, w.id);
    }
  std::set<std::string> deployments;
  for (const auto& d : view.deployments) deployments.insert(d.meta.id);
  std::map<std::string, std::string> planned;
  std::set<std::pair<std::string, std::uint32_t>> replicas;
  for (const auto& i : view.instances) {
    planned[i.meta.id] = i.spec.plan.workers.front().worker;
    if (!deployments.contains(i.spec.deployment)) return i.meta.name + " belongs to no deployment";
    if (!replicas.emplace(i.spec.deployment, i.spec.replica).second) return i.meta.name + " exists twice";
  }
  for (const auto& [id, worker] : runs_on) {
    const auto at = planned.find(id);
    if (at == planned.end()) return fmt::format("instance {} runs on {}, its object is gone", id, worker);
    if (at->second != worker) return fmt::format("instance {} runs on {}, planned on {}", id, worker, at->second);
  }
  const auto claims = store.list_claims({});
  if (!claims) return "claims cannot be read: " + claims.error().message;
  for (const auto& c : *claims)
    if (const auto at = planned.find(c.instance); at == planned.end() || at->second != c.worker)
      return fmt::format("instance {} holds a claim on {}, where it is not planned", c.instance, c.worker);
  return std::nullopt;
}

Violation ReadinessChecker::check(const store::Batch& batch, const std::map<std::string, Heard>& heard, Time now) {
  for (const auto& operation : batch.operations) {
    const auto* create = std::get_if<store::Create>(&operation);
    if (create == nullptr || create->kind != "instance") continue;
    const auto spec = wire::from_json<fleet::InstanceSpec>(create->spec, wire::Strictness::kStrict);
    if (!spec) return create->name + ": " + spec.error().message;
    for (const auto& part : spec->plan.workers) {
      const auto at = heard.find(part.worker);
      if (at == heard.end() || !at->second.alive(now))
        return fmt::format("{} was placed on {}, which was not ready", create->name, part.worker);
    }
  }
  return std::nullopt;
}

Violation ConvergenceChecker::check(store::Store& store,
                                    const reconcile::View& view,
                                    const std::vector<FakeWorker>& workers) {
  const auto served = [&](const reconcile::InstanceObject& i) {
    const auto* worker = worker_by_id(workers, i.spec.plan.workers.front().worker);
    const bool played = worker != nullptr && worker->hardware().simulated;
    return i.status.state == (played ? InstanceState::kSimulated : InstanceState::kReady);
  };
  for (const auto& d : view.deployments) {
    if (d.meta.deleting) return d.meta.name + " is still being deleted";
    const auto ready = std::count_if(view.instances.begin(), view.instances.end(), [&](const auto& i) {
      return i.spec.deployment == d.meta.id && served(i);
    });
    const auto asked = d.spec.request.replicas;
    const bool explained =
        d.status.verdict && *d.status.verdict != fleet::Verdict::kFits && !d.status.summary.empty() && d.status.waiting;
    if (ready == asked || (ready < asked && explained)) continue;
    return fmt::format("{}: {} of {} replicas ready, status says \"{}\"", d.meta.name, ready, asked, d.status.summary);
  }
  std::set<std::string> instances;
  for (const auto& i : view.instances) {
    instances.insert(i.meta.id);
    if (!served(i)) return fmt::format("{} is {} at the end", i.meta.name, wire::enum_name(i.status.state));
  }
  const auto claims = store.list_claims({});
  if (!claims) return "claims cannot be read: " + claims.error().message;
  for (const auto& c : *claims)
    if (!instances.contains(c.instance)) return fmt::format("a claim of {} is left", c.instance);
  for (const auto& w : workers)
    for (const auto& [id, engine] : w.engines())
      if (!engine.gone && !instances.contains(id)) return fmt::format("{} still runs on {}", id, w.name());
  return std::nullopt;
}

}  // namespace berth::sim
