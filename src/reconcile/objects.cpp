// What people change: deployments, cordons, removals.
#include <fmt/format.h>

#include "base/text.h"
#include "engines/request.h"
#include "reconcile/state.h"
#include "wire/json.h"

namespace berth::reconcile {
namespace {

constexpr std::size_t kNameLengthMax = 63;

template <class Map>
auto* find_in(Map& map, const std::string& name_or_id) {
  using Record = typename Map::mapped_type;
  if (const auto at = map.find(name_or_id); at != map.end()) return &at->second;
  Record* deleting = nullptr;
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

/// Flags that mean settings become settings, ranges are checked, lists are sorted: what is stored is canonical.
Result<fleet::DeploymentSpec> checked(const engines::EngineCatalog& catalog, fleet::DeploymentSpec spec) {
  auto& request = spec.request;
  if (request.replaces) return invalid("request.replaces is set by the server, leave it out");
  TRY(request, engines::canonical(catalog, std::move(request)));
  return spec;
}

}  // namespace

DeploymentRecord* Reconciler::State::find_deployment(const std::string& name) { return find_in(deployments, name); }
InstanceRecord* Reconciler::State::find_instance(const std::string& name) { return find_in(instances, name); }
WorkerRecord* Reconciler::State::find_worker(const std::string& name) { return find_in(workers, name); }

Result<DeploymentObject> Reconciler::create_deployment(const std::string& name, fleet::DeploymentSpec spec, Time now) {
  if (!is_name(name))
    return invalid(
        fmt::format("name \"{}\" must be 1 to {} of a-z, 0-9, '-', '.', '_', starting with a letter or digit",
                    printable(name),
                    kNameLengthMax));
  spec.request.deployment = name;
  TRY(spec, checked(state_->options.catalog, std::move(spec)));
  const std::scoped_lock lock(state_->mutex);
  if (const auto* known = state_->find_deployment(name); known != nullptr)
    return fail(
        Code::kConflict,
        fmt::format("deployment \"{}\" exists{}", name, known->object.meta.deleting ? " and is being deleted" : ""));
  DeploymentRecord r;
  r.object.meta = {.id = state_->options.new_id(), .name = name, .generation = 1, .created_at = now};
  r.object.spec = std::move(spec);
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Create{.kind = "deployment",
                          .id = r.object.meta.id,
                          .name = name,
                          .spec = wire::to_json(r.object.spec),
                          .status = wire::to_json(r.object.status)});
  TRY(auto committed, state_->store.commit(std::move(batch)));
  r.object.meta.revision = committed.revisions.front();
  auto object = r.object;
  state_->deployments.emplace(object.meta.id, std::move(r));
  state_->publish();
  return object;
}

Result<DeploymentObject> Reconciler::update_deployment(const std::string& name,
                                                       fleet::DeploymentSpec spec,
                                                       std::optional<std::uint64_t> expected_revision,
                                                       Time now) {
  TRY(spec, checked(state_->options.catalog, std::move(spec)));
  const std::scoped_lock lock(state_->mutex);
  auto* r = state_->find_deployment(name);
  if (r == nullptr) return not_found("deployment", name);
  auto& meta = r->object.meta;
  if (meta.deleting) return fail(Code::kConflict, fmt::format("deployment \"{}\" is being deleted", meta.name));
  spec.request.deployment = meta.name;
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Update{.kind = "deployment",
                          .id = meta.id,
                          .expected_revision = expected_revision,
                          .name = std::nullopt,
                          .spec = wire::to_json(spec),
                          .status = std::nullopt});
  TRY_VOID(state_->store.commit(std::move(batch)));
  TRY(auto stored, state_->store.get("deployment", meta.id));
  r->object.spec = std::move(spec);
  meta.revision = stored.revision;
  meta.generation = stored.generation;
  state_->publish();
  return r->object;
}

Result<void> Reconciler::delete_deployment(const std::string& name, Time now) {
  const std::scoped_lock lock(state_->mutex);
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
  TRY_VOID(state_->store.commit(std::move(batch)));
  r->object.meta.deleting = true;
  state_->publish();
  return {};
}

Result<void> Reconciler::delete_instance(const std::string& name, Time now) {
  const std::scoped_lock lock(state_->mutex);
  auto* r = state_->find_instance(name);
  if (r == nullptr) return not_found("instance", name);
  if (!r->object.status.stop && !state_->apply(controllers::StopInstance{r->object.meta.id, "deleted by request"}, now))
    return fail(Code::kUnavailable, "the change could not be stored, try again");
  state_->publish();
  return {};
}

Result<WorkerObject> Reconciler::set_cordon(const std::string& name, bool cordoned, Time now) {
  const std::scoped_lock lock(state_->mutex);
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
  TRY_VOID(state_->store.commit(std::move(batch)));
  r->object.spec = std::move(spec);
  r->object.worker.cordoned = cordoned;
  r->dirty = true;
  state_->publish();
  return r->object;
}

Result<void> Reconciler::delete_worker(const std::string& name, Time now) {
  const std::scoped_lock lock(state_->mutex);
  auto* r = state_->find_worker(name);
  if (r == nullptr) return not_found("worker", name);
  if (r->signs.connected)
    return fail(Code::kConflict, fmt::format("worker \"{}\" is connected: stop its agent first", r->object.meta.name));
  const std::string id = r->object.meta.id;
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Remove{.kind = "worker", .id = id, .expected_revision = std::nullopt});
  TRY_VOID(state_->store.commit(std::move(batch)));
  state_->workers.erase(id);
  state_->snapshot = std::make_shared<const fleet::FleetSnapshot>(state_->snapshot->without(id));
  state_->publish();
  return {};
}

}  // namespace berth::reconcile
