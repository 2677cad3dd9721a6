// Live signs → snapshot. A worker's entry is rebuilt only when it is dirty, and replaces the old one only when its
// content hash differs: a heartbeat that changes no input of a decision makes no new revision.
#include <algorithm>
#include <fmt/format.h>

#include "base/log.h"
#include "reconcile/state.h"

namespace berth::reconcile {
namespace {

using controllers::WorkerJudgement;

/// Foreign use as decisions see it: rises at once, falls after kForeignFallAfter to the highest seen meanwhile.
Bytes held(HeldUse& use, Bytes now_bytes, Time now) {
  if (now_bytes >= use.value) {
    use = {.value = now_bytes, .highest = now_bytes, .lower_since = std::nullopt};
    return use.value;
  }
  if (!use.lower_since) {
    use.lower_since = now;
    use.highest = now_bytes;
  }
  use.highest = std::max(use.highest, now_bytes);
  if (now - *use.lower_since >= kForeignFallAfter)
    use = {.value = use.highest, .highest = use.highest, .lower_since = std::nullopt};
  return use.value;
}

bool holds_memory(fleet::InstanceState state) {
  switch (state) {
    case fleet::InstanceState::kStarting:
    case fleet::InstanceState::kReady:
    case fleet::InstanceState::kStopping:
    case fleet::InstanceState::kUnknown:
      return true;
    case fleet::InstanceState::kScheduled:
    case fleet::InstanceState::kPreparing:
    case fleet::InstanceState::kFailed:
    case fleet::InstanceState::kSimulated:
      return false;
  }
  return false;
}

}  // namespace

const std::string& worker_of(const InstanceObject& instance) {
  static const std::string kNone;
  const auto& parts = instance.spec.plan.workers;
  return parts.empty() ? kNone : parts.front().worker;
}

std::vector<fleet::Occupant> Reconciler::State::occupants_of(const WorkerRecord& worker) const {
  std::vector<fleet::Occupant> out;
  for (const auto& [id, instance] : instances) {
    for (const auto& part : instance.object.spec.plan.workers) {
      if (part.worker != worker.object.meta.id) continue;
      const auto& status = instance.object.status;
      const auto d = deployments.find(instance.object.spec.deployment);
      fleet::Occupant o;
      o.id = id;
      o.deployment = instance.object.spec.deployment;
      o.priority = d == deployments.end() ? 0 : d->second.object.spec.request.priority;
      o.running = holds_memory(status.state) && !worker.object.worker.simulated;
      o.stopping = status.stop;
      o.claim = part.claim;
      o.observed = status.observed;
      o.observed_memory_bytes = status.observed_memory_bytes;
      out.push_back(std::move(o));
    }
  }
  for (const auto& [id, report] : worker.orphans) {
    fleet::Occupant o;
    o.kind = fleet::OccupantKind::kOrphan;
    o.id = id;
    o.running = true;
    o.observed = report.status.observed;
    o.observed_memory_bytes = report.status.observed_memory_bytes;
    out.push_back(std::move(o));
  }
  return out;
}

void Reconciler::State::rebuild(const std::string& worker_id, Time now) {
  auto& record = workers.at(worker_id);
  record.dirty = false;
  fleet::Worker worker = record.object.worker;
  for (const auto& [key, value] : record.object.spec.labels) worker.labels[key] = value;
  worker.cordoned = record.object.spec.cordoned;
  auto entry = fleet::make_entry(worker, occupants_of(record));
  if (!entry) {
    log::warn("worker report refused",
              {log::kv("worker", record.object.meta.name), log::kv("error", entry.error().message)});
    snapshot = std::make_shared<const fleet::FleetSnapshot>(snapshot->without(worker_id));
    return;
  }
  bool adjusted = false;
  const auto hold = [&](const std::string& key, const fleet::DeviceCapacity& capacity, Bytes& used) {
    const Bytes value = held(record.foreign[key], capacity.foreign, now);
    if (value == capacity.foreign) return;
    used += value.minus_or_zero(capacity.foreign);
    adjusted = true;
  };
  for (std::size_t i = 0; i < (*entry)->worker.devices.size(); ++i) {
    const auto& id = (*entry)->worker.devices[i].id;
    for (auto& device : worker.devices)
      if (device.id == id) hold(id, (*entry)->capacity[i], device.memory_used_bytes);
  }
  hold("", (*entry)->memory, worker.memory_used_bytes);
  if (adjusted) {
    auto again = fleet::make_entry(worker, occupants_of(record));
    if (again) entry = std::move(again);
  }
  // While something is held, the entry must be looked at again when the time is over.
  for (const auto& [key, use] : record.foreign) record.dirty = record.dirty || use.lower_since.has_value();
  const auto* before = snapshot->find(worker_id);
  if (before != nullptr && before->hash == (*entry)->hash) return;
  for (const auto& lost : (*entry)->lost)
    log::warn("claim on a device that the worker does not report",
              {log::kv("worker", record.object.meta.name),
               log::kv("occupant", lost.occupant),
               log::kv("device", lost.device),
               log::kv("bytes", lost.bytes.value)});
  snapshot = std::make_shared<const fleet::FleetSnapshot>(snapshot->with(std::move(*entry)));
}

fleet::Waiting Reconciler::State::waits_to_stop(const InstanceRecord& instance, Time now) const {
  const auto worker = workers.find(worker_of(instance));
  const bool heard = worker == workers.end() || worker->second.object.worker.state == fleet::WorkerState::kReady;
  if (!heard)
    return {.text = "waiting for worker " + worker->second.object.meta.name + " to come back",
            .since = now,
            .next_at = std::nullopt,
            .next = "it is told to stop"};
  return {.text = "waiting for the process to end",
          .since = now,
          .next_at = now + controllers::rule_of(fleet::InstanceState::kStopping).deadline,
          .next = "the worker kills its whole group"};
}

std::optional<fleet::Waiting> Reconciler::State::waits_for_us(const InstanceRecord& instance) const {
  if (instance.gone) {
    const auto hold = holds.find(instance.object.meta.id);
    const bool held = hold != holds.end();
    return fleet::Waiting{.text = "waiting for its end to be stored" + (held ? ": " + hold->second.why : ""),
                          .since = held ? hold->second.since : instance.told_at.value_or(Time{}),
                          .next_at = held ? std::optional(hold->second.until) : std::nullopt,
                          .next = "its memory is given back"};
  }
  const auto worker = workers.find(worker_of(instance));
  if (worker == workers.end() || !instance.told_at) return std::nullopt;
  const auto& signs = worker->second.signs;
  if (!signs.connected || !signs.inventory_seen)
    return fleet::Waiting{.text = "waiting for worker " + worker->second.object.meta.name + " to come back",
                          .since = signs.disconnected_at.value_or(*instance.told_at),
                          .next_at = std::nullopt,
                          .next = instance.object.status.stop ? "it is told to stop" : "it is told to run"};
  const auto& rule = controllers::rule_of(fleet::InstanceState::kScheduled);
  return fleet::Waiting{.text = fmt::format("waiting for {}", rule.waits_for),
                        .since = *instance.told_at,
                        .next_at = controllers::send_again_at(*instance.told_at),
                        .next = std::string(rule.then)};
}

void Reconciler::State::lose(InstanceRecord& instance, Time now) {
  auto& status = instance.object.status;
  if (status.stop) {
    status.waiting = waits_to_stop(instance, now);
    return;
  }
  const auto to = controllers::next(status.state, controllers::InstanceEvent::kWorkerLost);
  const auto worker = workers.find(worker_of(instance));
  if (!to || worker == workers.end()) return;
  status.state = *to;
  status.waiting = fleet::Waiting{.text = "waiting for worker " + worker->second.object.meta.name + " to come back",
                                  .since = now,
                                  .next_at = std::nullopt,
                                  .next = "its inventory says what still runs"};
  instance.flush = true;
}

void Reconciler::State::find_again(InstanceRecord& instance, Time now) {
  if (instance.object.status.stop) instance.object.status.waiting = waits_to_stop(instance, now);
  if (instance.object.status.state != fleet::InstanceState::kUnknown || !instance.said) return;
  tell(instance.object, *instance.said);
  instance.object.status = *instance.said;
  instance.flush = true;
}

void Reconciler::State::judge_workers(Time now, TickResult& result) {
  for (auto& [id, record] : workers) {
    WorkerJudgement judgement = controllers::judge(record.signs, now);
    if (!record.refused.empty() && judgement.state == fleet::WorkerState::kReady)
      judgement = {fleet::WorkerState::kNotReady, record.refused, judgement.next_at};
    if (judgement.next_at && (!result.wake_at || *judgement.next_at < *result.wake_at))
      result.wake_at = judgement.next_at;
    auto& worker = record.object.worker;
    record.object.connected = record.signs.connected;
    if (judgement.state == worker.state) continue;
    log::info("worker state",
              {log::kv("worker", record.object.meta.name),
               log::kv("ready", judgement.state == fleet::WorkerState::kReady),
               log::kv("reason", judgement.reason)});
    const std::string reason(judgement.reason);
    if (judgement.state == fleet::WorkerState::kReady)
      happened("worker", id, false, "ready", record.object.meta.name + " is ready");
    else if (worker.state == fleet::WorkerState::kReady)
      happened("worker", id, true, "not_ready", record.object.meta.name + " is not ready: " + reason);
    worker.state = judgement.state;
    worker.state_reason = judgement.reason.empty() ? std::nullopt : std::optional(std::string(judgement.reason));
    record.object.state_reason = judgement.reason;
    record.dirty = true;
    const bool ready = judgement.state == fleet::WorkerState::kReady;
    if (!ready) worker.last_report_at = record.signs.last_seen_at;
    for (auto& [instance_id, instance] : instances) {
      if (worker_of(instance) != id) continue;
      if (!ready)
        lose(instance, now);
      else if (record.signs.connected)
        find_again(instance, now);
    }
  }
}

void Reconciler::State::publish() {
  auto fresh = std::make_shared<View>();
  for (const auto& [id, r] : deployments) {
    fresh->deployments.push_back(r.object);
    if (const auto hold = holds.find(id); hold != holds.end())
      fresh->deployments.back().status.waiting = fleet::Waiting{.text = "waiting to be stored: " + hold->second.why,
                                                                .since = hold->second.since,
                                                                .next_at = hold->second.until,
                                                                .next = "it is decided and stored again"};
  }
  for (const auto& [id, r] : instances) {
    fresh->instances.push_back(r.object);
    if (!controllers::rule_of(r.object.status.state).waiting || (r.taken && !r.gone)) continue;
    if (auto waiting = waits_for_us(r)) fresh->instances.back().status.waiting = std::move(*waiting);
  }
  for (const auto& [id, r] : workers) fresh->workers.push_back(r.object);
  const auto by_name = [](const auto& a, const auto& b) { return a.meta.name < b.meta.name; };
  std::sort(fresh->deployments.begin(), fresh->deployments.end(), by_name);
  std::sort(fresh->instances.begin(), fresh->instances.end(), by_name);
  std::sort(fresh->workers.begin(), fresh->workers.end(), by_name);
  fresh->snapshot = snapshot;
  auto next = std::make_shared<Picture>(Picture{.view = std::move(fresh), .secrets = {}, .workers_by_digest = {}});
  for (const auto& [id, r] : instances)
    if (!r.secret.empty()) next->secrets.emplace(id, r.secret);
  for (const auto& [id, r] : workers)
    if (!r.object.spec.key_digest.empty()) next->workers_by_digest.emplace(r.object.spec.key_digest, id);
  const std::scoped_lock lock(picture_mutex);
  picture = std::move(next);
}

}  // namespace berth::reconcile
