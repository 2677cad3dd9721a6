// What people change: deployments, cordons, removals.
#include <fmt/format.h>

#include "base/text.h"
#include "reconcile/state.h"
#include "wire/json.h"

namespace berth::reconcile {
namespace {

template <class Map>
auto* find_in(Map& map, const std::string& name_or_id) {
  decltype(&map.begin()->second) deleting = nullptr;
  if (const auto at = map.find(name_or_id); at != map.end()) return &at->second;
  for (auto& [id, record] : map) {
    if (record.object.meta.name != name_or_id) continue;
    if (!record.object.meta.deleting) return &record;
    deleting = &record;
  }
  return deleting;
}

Error not_found(std::string_view kind, const std::string& name) {
  return fail(Code::kNotFound, fmt::format("{} \"{}\" does not exist", kind, printable(name)));
}

}  // namespace

void Reconciler::State::reread(std::string_view kind, Envelope& meta) {
  const auto stored = store.get(kind, meta.id);
  if (!stored) {  // the change itself is written; an edit that expects a revision would be refused for no reason
    doubt = true;
    return;
  }
  meta.revision = stored->revision;
  meta.generation = stored->generation;
}

const DeploymentRecord* Reconciler::State::find_deployment(const std::string& name) const {
  return find_in(deployments, name);
}
DeploymentRecord* Reconciler::State::find_deployment(const std::string& name) { return find_in(deployments, name); }
InstanceRecord* Reconciler::State::find_instance(const std::string& name) { return find_in(instances, name); }
WorkerRecord* Reconciler::State::find_worker(const std::string& name) { return find_in(workers, name); }

void Reconciler::State::record(store::Batch& batch,
                               const Envelope& meta,
                               const fleet::DeploymentSpec& spec,
                               const engines::Caller& caller) const {
  const auto own = engines::operators_only(options.catalog, spec.request);
  if (own.empty()) return;
  const std::string reason = own.back().starts_with("settings.") ? "own_command" : "unknown_flags";
  const std::string names = berth::join(own, ", ");
  const std::string who = caller.name.empty() ? "an operator" : printable(caller.name);
  const std::string text =
      fmt::format("{} has {} passed on to {}, unchecked", who, names, spec.request.restriction.engine.value_or(""));
  batch.add(store::AddEvent{.object_kind = "deployment",
                            .object_id = meta.id,
                            .type = "warning",
                            .reason = reason,
                            .message = text.substr(0, store::kTextMax)});
  batch.add(store::AddAudit{.actor = who, .action = reason, .object = meta.name, .detail = names});
}

Result<DeploymentObject> Reconciler::create_deployment(const std::string& name,
                                                       fleet::DeploymentSpec spec,
                                                       Time now,
                                                       const engines::Caller& caller) {
  const auto lock = state_->enter();
  TRY_VOID(state_->settle(now));
  TRY(spec, state_->check_new(name, std::move(spec), caller));
  DeploymentRecord r;
  r.object.meta = {.id = state_->options.new_id(), .name = name, .generation = 1, .created_at = now};
  r.object.spec = std::move(spec);
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Create{.kind = "deployment",
                          .id = r.object.meta.id,
                          .name = name,
                          .spec = wire::to_json(r.object.spec),
                          .status = wire::to_json(r.object.status)});
  state_->record(batch, r.object.meta, r.object.spec, caller);
  TRY(auto committed, state_->write(std::move(batch)));
  r.object.meta.revision = committed.revisions.front();
  auto object = r.object;
  state_->deployments.emplace(object.meta.id, std::move(r));
  state_->publish();
  return object;
}

Result<DeploymentObject> Reconciler::update_deployment(const std::string& name,
                                                       fleet::DeploymentSpec spec,
                                                       std::optional<std::uint64_t> expected_revision,
                                                       Time now,
                                                       const engines::Caller& caller) {
  const auto lock = state_->enter();
  TRY_VOID(state_->settle(now));
  auto* r = state_->find_deployment(name);
  TRY(spec, state_->check_edit(r, name, std::move(spec), caller));
  auto& meta = r->object.meta;
  TRY_VOID(check_revision(meta, expected_revision));
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Update{.kind = "deployment",
                          .id = meta.id,
                          .expected_revision = expected_revision,
                          .name = std::nullopt,
                          .spec = wire::to_json(spec),
                          .status = std::nullopt});
  state_->record(batch, meta, spec, caller);
  TRY_VOID(state_->write(std::move(batch)));
  r->object.spec = std::move(spec);
  state_->reread("deployment", meta);
  state_->holds.erase(meta.id);  // it is another wish now
  state_->publish();
  return r->object;
}

Result<void> Reconciler::delete_deployment(const std::string& name, Time now) {
  const auto lock = state_->enter();
  TRY_VOID(state_->settle(now));
  auto* r = state_->find_deployment(name);
  if (r == nullptr) return not_found("deployment", name);
  if (r->object.meta.deleting) return {};
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Update{.kind = "deployment",
                          .id = r->object.meta.id,
                          .expected_revision = std::nullopt,
                          .name = std::nullopt,
                          .spec = std::nullopt,
                          .status = std::nullopt,
                          .deleting = true});
  TRY_VOID(state_->write(std::move(batch)));
  r->object.meta.deleting = true;
  state_->reread("deployment", r->object.meta);
  state_->publish();
  return {};
}

Result<void> Reconciler::delete_instance(const std::string& name, Time now) {
  const auto lock = state_->enter();
  TRY_VOID(state_->settle(now));
  auto* r = state_->find_instance(name);
  if (r == nullptr) return not_found("instance", name);
  if (!r->object.status.stop)
    TRY_VOID(state_->apply(controllers::StopInstance{r->object.meta.id, "deleted by request"}, now));
  state_->publish();
  return {};
}

Result<WorkerObject> Reconciler::set_cordon(const std::string& name, bool cordoned, Time now) {
  const auto lock = state_->enter();
  TRY_VOID(state_->settle(now));
  auto* r = state_->find_worker(name);
  if (r == nullptr) return not_found("worker", name);
  auto spec = r->object.spec;
  spec.cordoned = cordoned;
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Update{.kind = "worker",
                          .id = r->object.meta.id,
                          .expected_revision = std::nullopt,
                          .name = std::nullopt,
                          .spec = wire::to_json(spec),
                          .status = std::nullopt});
  TRY_VOID(state_->write(std::move(batch)));
  r->object.spec = std::move(spec);
  r->object.worker.cordoned = cordoned;
  state_->reread("worker", r->object.meta);
  r->dirty = true;
  state_->publish();
  return r->object;
}

Result<void> Reconciler::delete_worker(const std::string& name, Time now) {
  const auto lock = state_->enter();
  TRY_VOID(state_->settle(now));
  auto* r = state_->find_worker(name);
  if (r == nullptr) return not_found("worker", name);
  if (r->signs.connected)
    return fail(Code::kConflict, fmt::format("worker \"{}\" is connected: stop its agent first", r->object.meta.name));
  const std::string id = r->object.meta.id;
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Remove{.kind = "worker", .id = id, .expected_revision = std::nullopt});
  TRY_VOID(state_->write(std::move(batch)));
  state_->workers.erase(id);
  state_->snapshot = std::make_shared<const fleet::FleetSnapshot>(state_->snapshot->without(id));
  state_->publish();
  return {};
}

}  // namespace berth::reconcile
