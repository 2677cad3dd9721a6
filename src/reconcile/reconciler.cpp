#include "reconcile/reconciler.h"

#include <fmt/format.h>

#include "base/log.h"
#include "reconcile/state.h"
#include "wire/json.h"

namespace berth::reconcile {
namespace {

Envelope envelope(const store::Object& o) {
  return {o.id, o.name, o.revision, o.generation, o.created_at, o.deleting_at.has_value()};
}

template <class T>
Result<void> read_into(T& out, const std::string& json, const store::Object& object, std::string_view part) {
  auto value = wire::from_json<T>(json, wire::Strictness::kLenient);
  if (!value) return in(fmt::format("stored {} {} ({})", object.kind, object.name, part), std::move(value).error());
  out = std::move(*value);
  return {};
}

}  // namespace

Reconciler::Reconciler(store::Store& store, Options options)
    : state_(std::make_unique<State>(store, std::move(options))) {}
Reconciler::~Reconciler() = default;

const fleet::Policy& Reconciler::policy() const { return state_->options.policy; }
const engines::EngineCatalog& Reconciler::catalog() const { return state_->options.catalog; }

std::shared_ptr<const View> Reconciler::view() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->view;
}

Result<void> Reconciler::load(Time now) {
  const std::scoped_lock lock(state_->mutex);
  TRY(auto all, state_->store.read_state({"worker", "deployment", "instance"}));
  for (const auto& o : all.objects) {
    if (o.kind == "worker") {
      WorkerRecord r;
      fleet::WorkerStatus status;
      TRY_VOID(read_into(r.object.spec, o.spec, o, "spec"));
      TRY_VOID(read_into(status, o.status, o, "status"));
      r.object.meta = envelope(o);
      r.object.worker = status.last_report;
      r.object.worker.id = o.id;
      r.object.worker.name = o.name;
      r.object.worker.state = fleet::WorkerState::kPending;
      r.object.version = status.version;
      r.signs.joined_ever = true;
      r.signs.last_seen_at = status.last_report.last_report_at;
      r.signs.disconnected_at = now;
      state_->workers.emplace(o.id, std::move(r));
    } else if (o.kind == "deployment") {
      DeploymentRecord r;
      r.object.meta = envelope(o);
      TRY_VOID(read_into(r.object.spec, o.spec, o, "spec"));
      TRY_VOID(read_into(r.object.status, o.status, o, "status"));
      r.object.status.decided_at.reset();  // revisions of snapshots start anew
      state_->deployments.emplace(o.id, std::move(r));
    } else {
      InstanceRecord r;
      r.object.meta = envelope(o);
      TRY_VOID(read_into(r.object.spec, o.spec, o, "spec"));
      TRY_VOID(read_into(r.object.status, o.status, o, "status"));
      state_->instances.emplace(o.id, std::move(r));
    }
  }
  state_->publish();
  return {};
}

fleet::Decision Reconciler::decide(const fleet::Request& request) const {
  const auto snapshot = view()->snapshot;
  return placement::decide(*snapshot, request, state_->options.policy, state_->options.catalog);
}

std::vector<fleet::Fix> Reconciler::fixes(const fleet::Request& request, const fleet::Decision& decision) const {
  const auto snapshot = view()->snapshot;
  return placement::fixes(*snapshot, request, state_->options.policy, state_->options.catalog, decision);
}

TickResult Reconciler::tick(Time now) {
  const std::scoped_lock lock(state_->mutex);
  TickResult result;
  state_->judge_workers(now, result);
  for (result.steps = 0; result.steps < kStepsPerTickMax; ++result.steps) {
    std::vector<std::string> dirty;
    for (const auto& [id, worker] : state_->workers)
      if (worker.dirty) dirty.push_back(id);
    for (const auto& id : dirty) state_->rebuild(id, now);
    const auto step = controllers::step(state_->control_state(), now);
    if (step.actions.empty()) break;
    bool done_any = false;
    for (const auto& action : step.actions) done_any = state_->execute(action, now) || done_any;
    if (!done_any) break;
  }
  state_->flush(now);
  state_->publish();
  result.workers = std::exchange(state_->changed_workers, {});
  return result;
}

}  // namespace berth::reconcile
