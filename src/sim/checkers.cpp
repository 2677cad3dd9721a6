#include "sim/checkers.h"

#include <algorithm>
#include <fmt/format.h>

#include "controllers/states.h"
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
  std::map<std::string, std::string> planned;
  for (const auto& i : view.instances) planned[i.meta.id] = i.spec.plan.workers.front().worker;
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

Violation ReadinessChecker::check(const reconcile::View& view, const std::map<std::string, Heard>& heard, Time now) {
  Violation found;
  for (const auto& i : view.instances) {
    if (!known_.insert(i.meta.id).second || found) continue;
    const auto& worker = i.spec.plan.workers.front().worker;
    const auto at = heard.find(worker);
    const Heard last = at == heard.end() ? Heard() : at->second;
    const auto since = [now](const std::optional<Time>& then) { return then ? now - *then : Duration(); };
    const bool fresh = last.inventory && last.at && since(last.at) < controllers::kHeartbeatLate;
    const bool linked = fresh && since(last.disconnected_at) < controllers::kReconnectGrace;
    if (!linked) found = fmt::format("{} was placed on {}, which was not ready", i.meta.name, worker);
  }
  return found;
}

Violation TransitionChecker::check(const reconcile::View& view) {
  std::map<std::string, InstanceState> seen;
  Violation found;
  for (const auto& i : view.instances) {
    const auto state = i.status.state;
    seen[i.meta.id] = state;
    const auto before = last_.find(i.meta.id);
    const auto from = before == last_.end() ? InstanceState::kScheduled : before->second;
    const bool legal = before == last_.end() ? state == InstanceState::kScheduled : controllers::reachable(from, state);
    if (compare_ && !legal && !found)
      found = fmt::format("{} went from {} to {}, which the table does not have",
                          i.meta.name,
                          wire::enum_name(from),
                          wire::enum_name(state));
  }
  for (const auto& [id, state] : last_)
    if (!seen.contains(id) && state != InstanceState::kStopping && !found)
      found = fmt::format("instance {} disappeared while {}", id, wire::enum_name(state));
  last_ = std::move(seen);
  compare_ = true;
  return found;
}

void TransitionChecker::forget() {
  last_.clear();
  compare_ = false;
}

Violation ConvergenceChecker::check(store::Store& store,
                                    const reconcile::View& view,
                                    const std::vector<FakeWorker>& workers,
                                    const std::set<std::string>& wanted) {
  std::set<std::string> ids;
  std::set<std::string> names;
  for (const auto& d : view.deployments) {
    ids.insert(d.meta.id);
    names.insert(d.meta.name);
    const auto ready = std::count_if(view.instances.begin(), view.instances.end(), [&](const auto& i) {
      return i.spec.deployment == d.meta.id && i.status.state == InstanceState::kReady;
    });
    const auto asked = d.spec.request.replicas;
    const bool explained =
        d.status.verdict && *d.status.verdict != fleet::Verdict::kFits && !d.status.summary.empty() && d.status.waiting;
    if (ready == asked || (ready < asked && explained)) continue;
    return fmt::format("{}: {} of {} replicas ready, status says \"{}\"", d.meta.name, ready, asked, d.status.summary);
  }
  if (names != wanted) return fmt::format("{} deployments exist, {} are wanted", names.size(), wanted.size());
  std::set<std::string> instances;
  for (const auto& i : view.instances) {
    instances.insert(i.meta.id);
    if (!ids.contains(i.spec.deployment)) return i.meta.name + " belongs to no deployment";
    if (i.status.state != InstanceState::kReady)
      return fmt::format("{} is {} at the end", i.meta.name, wire::enum_name(i.status.state));
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
