// The serial applier: actions of a step become transactions. Nothing is changed in memory before the store has it.
#include <algorithm>
#include <fmt/format.h>

#include "base/log.h"
#include "placement/decide.h"
#include "reconcile/state.h"
#include "wire/json.h"

namespace berth::reconcile {
namespace {

using store::Batch;

/// What a claim takes of host RAM in the claims table: on unified memory the device claims come out of the same pool.
Bytes pool_claim(const fleet::WorkerEntry& entry, const fleet::Claim& claim) {
  Bytes pool = claim.memory_bytes;
  for (const auto& d : claim.devices) {
    const auto at = fleet::device_position(entry, d.device);
    if (at != std::string::npos && entry.worker.devices[at].unified_memory) pool += d.bytes;
  }
  return pool;
}

/// Claims of one plan, with the check that no device goes over what it has.
void add_claims(Batch& batch,
                const std::string& instance,
                const fleet::Plan& plan,
                const fleet::FleetSnapshot& snapshot) {
  store::SetClaims claims{.instance = instance, .generation = 1, .claims = {}};
  std::vector<store::CheckCapacity> checks;
  for (const auto& part : plan.workers) {
    const auto* entry = snapshot.find(part.worker);
    if (entry == nullptr) continue;
    for (const auto& d : part.claim.devices) {
      const auto at = fleet::device_position(*entry, d.device);
      if (at == std::string::npos) continue;
      claims.claims.push_back({part.worker, d.device, d.bytes});
      checks.push_back({part.worker, d.device, fleet::claimable(entry->capacity[at])});
    }
    claims.claims.push_back({part.worker, "", pool_claim(*entry, part.claim)});
    checks.push_back({part.worker, "", fleet::claimable(entry->memory)});
  }
  batch.add(std::move(claims));
  for (auto& check : checks) batch.add(std::move(check));
}

store::DecisionRow decision_row(const std::string& id,
                                const std::string& deployment,
                                const fleet::Decision& d,
                                Time now) {
  return {.id = id,
          .deployment = deployment,
          .created_at = now,
          .snapshot_hash = d.inputs.snapshot_hash,
          .request_hash = d.inputs.request_hash,
          .policy_hash = d.inputs.policy_hash,
          .catalog_hash = d.inputs.catalog_hash,
          .verdict = wire::enum_name(d.verdict),
          .body = wire::to_json(d)};
}

fleet::DeploymentStatus status_after(const DeploymentObject& object,
                                     const fleet::Decision& d,
                                     const std::string& decision_id,
                                     std::uint64_t generation,
                                     Time now) {
  fleet::DeploymentStatus s = object.status;
  s.verdict = d.verdict;
  s.fit_count = d.fit_count;
  s.summary = d.summary;
  s.decision_id = decision_id;
  s.decided_at = now;
  s.decided_revision = d.inputs.snapshot_revision;
  s.observed_generation = generation;
  s.waiting.reset();
  if (d.fit_count < d.asked)
    s.waiting = fleet::Waiting{.text = "waiting for a place: " + d.summary,
                               .since = object.status.waiting ? object.status.waiting->since : now,
                               .next_at = std::nullopt,
                               .next = "decided again when the fleet changes"};
  return s;
}

/// Replica `replica` of a deployment as it is born; its id is the caller's to give.
InstanceObject new_instance(const DeploymentObject& deployment,
                            const fleet::Plan& plan,
                            std::uint32_t replica,
                            const std::string& decision_id,
                            Time now) {
  const auto& [meta, spec, status] = deployment;
  InstanceObject o;
  o.meta = {.name = fmt::format("{}-{}", meta.name, replica), .generation = 1, .created_at = now};
  o.spec = {.deployment = meta.id,
            .deployment_name = meta.name,
            .deployment_generation = meta.generation,
            .template_hash = controllers::template_hash(spec.request),
            .replica = replica,
            .attempt = 1,
            .task = spec.request.task,
            .route = spec.route.empty() ? meta.name : spec.route,
            .plan = plan,
            .decision_id = decision_id};
  o.status.waiting = fleet::Waiting{.text = "waiting for the worker to take the instruction",
                                    .since = now,
                                    .next_at = now + controllers::rule_of(fleet::InstanceState::kScheduled).deadline,
                                    .next = "it is sent again"};
  return o;
}

}  // namespace

Result<void> Reconciler::State::execute(const controllers::Action& action, Time now) {
  return std::visit([&](const auto& a) { return apply(a, now); }, action);
}

controllers::ControlState Reconciler::State::control_state() const {
  controllers::ControlState c;
  for (const auto& [id, d] : deployments)
    c.deployments.push_back({id,
                             d.object.meta.name,
                             d.object.meta.generation,
                             d.object.meta.deleting,
                             d.object.meta.created_at,
                             d.object.spec,
                             d.object.status});
  for (const auto& [id, i] : instances) {
    const auto at = workers.find(worker_of(i));
    const bool told = at != workers.end() && at->second.signs.connected && at->second.signs.inventory_seen;
    c.instances.push_back({.id = id,
                           .name = i.object.meta.name,
                           .spec = i.object.spec,
                           .status = i.object.status,
                           .worker_gone = at == workers.end(),
                           .gone = i.gone,
                           .untaken_since = told && !i.taken && !i.gone ? i.told_at : std::nullopt,
                           .refused_at = i.refused_at,
                           .no_place_at = i.no_place_at});
  }
  for (const auto& [id, hold] : holds) c.held.emplace(id, hold.until);
  c.snapshot = snapshot;
  c.policy = &options.policy;
  c.catalog = &options.catalog;
  return c;
}

/// Operations of a placement beside those of its instances: the decision and the deployment's status.
constexpr std::size_t kPlaceTail = 2;

Result<void> Reconciler::State::apply(const controllers::Place& place, Time now) {
  auto& deployment = deployments.at(place.deployment);
  const auto& meta = deployment.object.meta;
  const std::string decision_id = options.new_id();
  Batch batch{.at = now, .epoch = 0, .operations = {}};
  // The deployment must still be the one that was decided for.
  batch.add(store::Expect{.kind = "deployment", .id = meta.id, .revision = meta.revision});
  std::vector<InstanceRecord> fresh;
  std::vector<std::size_t> created;  // their operations
  for (std::size_t i = 0; i < place.decision.plans.size(); ++i) {
    const auto& plan = place.decision.plans[i];
    const auto request = controllers::request_for({.id = meta.id, .name = meta.name, .spec = deployment.object.spec},
                                                  place.decision.asked);
    const auto checked = placement::verify(*snapshot, request, options.policy, options.catalog, plan);
    if (!checked.ok)
      return fail(
          Code::kConflict,
          fmt::format(
              "the plan does not hold any more: {}: {}", checked.rejects.front().rule, checked.rejects.front().text));
    InstanceRecord r;
    r.object = new_instance(deployment.object, plan, place.replicas[i], decision_id, now);
    auto& o = r.object;
    o.spec.refusals = place.refusals;
    o.meta.id = options.new_id();
    const std::size_t before = batch.operations.size();
    batch.add(store::Create{.kind = "instance",
                            .id = o.meta.id,
                            .name = o.meta.name,
                            .spec = wire::to_json(o.spec),
                            .status = wire::to_json(o.status)});
    add_claims(batch, o.meta.id, plan, *snapshot);
    batch.add(store::AddEvent{
        .object_kind = "deployment",
        .object_id = meta.id,
        .type = "normal",
        .reason = "placed",
        .message = fmt::format("{} on {} ({})", o.meta.name, plan.workers.front().worker_name, plan.layout)});
    // A batch is bounded: the replicas that are left are decided and placed by the next step.
    if (batch.operations.size() + kPlaceTail > store::kOperationsMax && !fresh.empty()) {
      batch.operations.erase(batch.operations.begin() + static_cast<std::ptrdiff_t>(before), batch.operations.end());
      break;
    }
    created.push_back(before);
    fresh.push_back(std::move(r));
  }
  auto status = status_after(deployment.object, place.decision, decision_id, place.generation, now);
  batch.add(store::AddDecision{decision_row(decision_id, meta.id, place.decision, now)});
  batch.add(store::Update{.kind = "deployment",
                          .id = meta.id,
                          .expected_revision = std::nullopt,
                          .name = std::nullopt,
                          .spec = std::nullopt,
                          .status = wire::to_json(status)});
  TRY(const auto committed, write(std::move(batch)));
  deployment.object.status = std::move(status);
  reread("deployment", deployment.object.meta);
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    auto& r = fresh[i];
    r.object.meta.revision = committed.revisions[created[i]];
    r.told_at = now;
    const std::string worker = worker_of(r);
    workers.at(worker).dirty = true;
    changed_workers.insert(worker);
    instances.emplace(r.object.meta.id, std::move(r));
  }
  return {};
}

Result<void> Reconciler::State::apply(const controllers::Pend& pend, Time now) {
  auto& deployment = deployments.at(pend.deployment);
  const std::string decision_id = options.new_id();
  auto status = status_after(deployment.object, pend.decision, decision_id, pend.generation, now);
  Batch batch{.at = now, .epoch = 0, .operations = {}};
  // The same answer again is no news: only its revision is remembered, in memory.
  const bool news = status.summary != deployment.object.status.summary ||
                    status.verdict != deployment.object.status.verdict ||
                    status.observed_generation != deployment.object.status.observed_generation;
  if (!news) {
    deployment.object.status.decided_revision = status.decided_revision;
    deployment.object.status.decided_at = status.decided_at;
    return {};
  }
  batch.add(store::AddDecision{decision_row(decision_id, pend.deployment, pend.decision, now)});
  batch.add(store::AddEvent{.object_kind = "deployment",
                            .object_id = pend.deployment,
                            .type = "warning",
                            .reason = wire::enum_name(pend.decision.verdict),
                            .message = pend.decision.summary.substr(0, store::kTextMax)});
  batch.add(store::Update{.kind = "deployment",
                          .id = pend.deployment,
                          .expected_revision = std::nullopt,
                          .name = std::nullopt,
                          .spec = std::nullopt,
                          .status = wire::to_json(status)});
  TRY_VOID(write(std::move(batch)));
  deployment.object.status = std::move(status);
  reread("deployment", deployment.object.meta);
  return {};
}

Result<void> Reconciler::State::apply(const controllers::StopInstance& stop, Time now) {
  auto& instance = instances.at(stop.instance);
  auto status = instance.object.status;
  status.stop = true;
  status.state = controllers::next(status.state, controllers::InstanceEvent::kStopRequested).value_or(status.state);
  status.message = stop.why;
  status.waiting = waits_to_stop(instance, now);
  Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Update{.kind = "instance",
                          .id = stop.instance,
                          .expected_revision = std::nullopt,
                          .name = std::nullopt,
                          .spec = std::nullopt,
                          .status = wire::to_json(status)});
  batch.add(store::AddEvent{.object_kind = "deployment",
                            .object_id = instance.object.spec.deployment,
                            .type = "normal",
                            .reason = "stopping",
                            .message = instance.object.meta.name + ": " + stop.why});
  TRY_VOID(write(std::move(batch)));
  instance.object.status = std::move(status);
  instance.taken = false;
  instance.told_at = now;
  reread("instance", instance.object.meta);
  changed_workers.insert(worker_of(instance));
  if (const auto w = workers.find(worker_of(instance)); w != workers.end()) w->second.dirty = true;
  return {};
}

Result<void> Reconciler::State::apply(const controllers::SendAgain& again, Time now) {
  auto& instance = instances.at(again.instance);
  const auto& o = instance.object;
  instance.told_at = now;
  changed_workers.insert(worker_of(instance));
  happened("deployment",
           o.spec.deployment,
           true,
           "sent_again",
           fmt::format("{}: the worker did not take the instruction to {}, it was sent again",
                       o.meta.name,
                       o.status.stop ? "stop" : "run"));
  return {};
}

Result<void> Reconciler::State::apply(const controllers::NoOtherPlace& none, Time) {
  instances.at(none.instance).no_place_at = none.revision;
  return {};
}

Result<void> Reconciler::State::apply(const controllers::RemoveInstance& remove, Time now) {
  auto& instance = instances.at(remove.instance);
  Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Remove{.kind = "instance", .id = remove.instance, .expected_revision = std::nullopt});
  TRY_VOID(write(std::move(batch)));
  changed_workers.insert(worker_of(instance));
  if (const auto w = workers.find(worker_of(instance)); w != workers.end()) w->second.dirty = true;
  instances.erase(remove.instance);
  return {};
}

Result<void> Reconciler::State::apply(const controllers::RemoveDeployment& remove, Time now) {
  Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Remove{.kind = "deployment", .id = remove.deployment, .expected_revision = std::nullopt});
  TRY_VOID(write(std::move(batch)));
  deployments.erase(remove.deployment);
  return {};
}

Result<void> Reconciler::State::apply(const controllers::SetStatus& set, Time now) {
  Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Update{.kind = "deployment",
                          .id = set.deployment,
                          .expected_revision = std::nullopt,
                          .name = std::nullopt,
                          .spec = std::nullopt,
                          .status = wire::to_json(set.status)});
  TRY_VOID(write(std::move(batch)));
  auto& object = deployments.at(set.deployment).object;
  object.status = set.status;
  reread("deployment", object.meta);
  return {};
}

/// Statuses that workers reported since the last tick and what they made happen, in one commit.
void Reconciler::State::flush(Time now) {
  Batch batch{.at = now, .epoch = 0, .operations = {}};
  std::vector<InstanceRecord*> written;
  for (auto& [id, instance] : instances) {
    if (!instance.flush || batch.operations.size() + kEventsWaitingMax >= store::kOperationsMax) continue;
    batch.add(store::Update{.kind = "instance",
                            .id = id,
                            .expected_revision = std::nullopt,
                            .name = std::nullopt,
                            .spec = std::nullopt,
                            .status = wire::to_json(instance.object.status)});
    written.push_back(&instance);
  }
  for (const auto& event : events) batch.add(event);
  if (batch.operations.empty()) return;
  auto done = write(std::move(batch));
  if (!done) {
    log::warn("statuses not stored, tried again", {log::kv("error", done.error().message)});
    return;
  }
  for (std::size_t i = 0; i < written.size(); ++i) {
    written[i]->flush = false;
    written[i]->object.meta.revision = done->revisions[i];
  }
  events.clear();
}

void Reconciler::State::happened(std::string_view kind,
                                 const std::string& object,
                                 bool warning,
                                 std::string_view reason,
                                 const std::string& message) {
  if (events.size() >= kEventsWaitingMax) events.erase(events.begin());  // the oldest: the store fails for long
  events.push_back({.object_kind = std::string(kind),
                    .object_id = object,
                    .type = warning ? "warning" : "normal",
                    .reason = std::string(reason),
                    .message = message.substr(0, store::kTextMax)});
}

}  // namespace berth::reconcile
